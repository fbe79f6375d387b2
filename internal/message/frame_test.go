package message

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// writes counts the calls of Write.
type writes struct {
	bytes.Buffer
	calls int
}

func (w *writes) Write(p []byte) (int, error) {
	w.calls++
	return w.Buffer.Write(p)
}

// TestGolden has the frames that Service Weaver v0.20.0 exchanges for request 42.
func TestGoldenFrames(t *testing.T) {
	for _, tc := range []struct {
		hex     string
		message Message
	}{
		{"04000000" + "082a" + "1a00", &EnvelopeMsg{Id: 42, GetHealthRequest: &GetHealthRequest{}}},
		{"0f000000" + "08d6ffffffffffffffff01" + "32020801", &WeaveletMsg{
			Id: -42, GetHealthReply: &GetHealthReply{Status: HealthStatus_HEALTHY},
		}},
		{"00000000", &WeaveletMsg{}},
	} {
		var w writes
		if err := Write(&w, tc.message); err != nil || hex.EncodeToString(w.Bytes()) != tc.hex || w.calls != 1 {
			t.Errorf("%x in %d writes, %v; want %s in one", w.Bytes(), w.calls, err, tc.hex)
		}
		got := reflect.New(reflect.TypeOf(tc.message).Elem())
		r := iotest.OneByteReader(&w)
		if _, err := Read(r, got.Interface().(Message)); err != nil || !reflect.DeepEqual(got.Interface(), tc.message) {
			t.Errorf("%+v, %v; want %+v", got, err, tc.message)
		}
		if _, err := Read(r, got.Interface().(Message)); err != io.EOF {
			t.Errorf("after the last message: %v", err)
		}
	}
}

func TestMalformedFrames(t *testing.T) {
	for name, tc := range map[string]struct {
		hex, want string
		is        error
	}{
		"half a length":   {hex: "0400", is: io.ErrUnexpectedEOF},
		"no body":         {hex: "04000000", is: io.ErrUnexpectedEOF},
		"half a body":     {hex: "04000000082a", is: io.ErrUnexpectedEOF},
		"bad body":        {hex: "01000000ff", want: "cannot decode a message of 1 bytes: a number is longer than 64 bits"},
		"over the limit":  {hex: "01000004082a", want: "a message claims 67108865 bytes: the limit is 67108864"},
		"with a sign bit": {hex: "ffffffff", want: "a message claims 4294967295 bytes: the limit is 67108864"},
	} {
		data, err := hex.DecodeString(tc.hex)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Read(bytes.NewReader(data), &EnvelopeMsg{})
		if err == nil || tc.is != nil && !errors.Is(err, tc.is) || tc.want != "" && err.Error() != tc.want {
			t.Errorf("%s: %v, want %s%v", name, err, tc.want, tc.is)
		}
	}
}

// TestClaimedLength: memory is taken as bytes arrive.
func TestClaimedFrame(t *testing.T) {
	for _, claim := range []uint32{2 << 30, MaxSize} {
		frame := append(binary.LittleEndian.AppendUint32(nil, claim), "ten bytes."...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			if _, err := Read(bytes.NewReader(frame), &EnvelopeMsg{}); err == nil {
				t.Fatal("no error")
			}
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
			t.Errorf("a hundred frames of 14 bytes that claim %d took %d bytes", claim, took)
		}
	}
}

func TestLarge(t *testing.T) {
	want := &WeaveletMsg{GetProfileReply: &GetProfileReply{Data: bytes.Repeat([]byte("0123456789"), 1<<19)}}
	var buf bytes.Buffer
	if err := Write(&buf, want); err != nil {
		t.Fatal(err)
	}
	var got WeaveletMsg
	if _, err := Read(iotest.HalfReader(&buf), &got); err != nil || !reflect.DeepEqual(&got, want) {
		t.Errorf("5 MiB come back as %d bytes, %v", len(got.GetProfileReply.Data), err)
	}
}

func TestErrorOfWriter(t *testing.T) {
	r, w := io.Pipe()
	r.CloseWithError(errors.New("nobody reads"))
	if err := Write(w, &EnvelopeMsg{Id: 1}); err == nil || !strings.Contains(err.Error(), "nobody reads") {
		t.Errorf("error %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"04000000082a1a00", "0f00000008d6ffffffffffffffff0132020801", "00000000", "ffffffff00", "0000008001020304050607080910",
		"0400000008", "0700000012050a03617070" + "0200000008", "010000000b",
	} {
		data, _ := hex.DecodeString(seed)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			var m EnvelopeMsg
			before := r.Len()
			if _, err := Read(r, &m); err != nil {
				if err == io.EOF && before != 0 {
					t.Fatalf("the end of the file within the message %x", data[len(data)-before:])
				}
				return
			}
			read := before - r.Len()
			if size := binary.LittleEndian.Uint32(data[len(data)-before:]); read != 4+int(size) {
				t.Fatalf("read %d bytes for a message of %d", read, size)
			}
			var again EnvelopeMsg
			var buf bytes.Buffer
			if err := Write(&buf, &m); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(&buf, &again); err != nil {
				t.Fatalf("what Write writes: %v", err)
			}
		}
	})
}
