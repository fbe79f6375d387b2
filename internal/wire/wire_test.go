package wire

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/divisi-go/divisi/internal/trace"
)

func TestHeaderViolations(t *testing.T) {
	for _, c := range []struct {
		name string
		h    Header
		want string
	}{
		{"type 0", Header{}, "unknown frame type 0"},
		{"type 77", Header{Type: 77}, "unknown frame type 77"},
		{"4 GiB", Header{Type: TypeRequest, Call: 1, Length: 1<<32 - 1}, "REQUEST with a body of 4294967295 bytes"},
		{"one byte too long", Header{Type: TypeData, Call: 1, Length: MaxBody + 1}, "DATA with a body of 65601 bytes"},
		{"long hello", Header{Type: TypeHello, Length: MaxHello + 1}, "HELLO with a body"},
		{"short bind", Header{Type: TypeBind, Length: 17}, "BIND with a body of 17 bytes"},
		{"cancel with body", Header{Type: TypeCancel, Call: 1, Length: 1}, "CANCEL with a body"},
		{"short credit", Header{Type: TypeCredit, Length: 3}, "CREDIT with a body"},
		{"long ping", Header{Type: TypePing, Length: 9}, "PING with a body"},
		{"request of no call", Header{Type: TypeRequest}, "REQUEST for call 0x0"},
		{"ping of a call", Header{Type: TypePing, Call: 7, Length: 8}, "PING for call 0x7"},
		{"chunks of a ping", Header{Type: TypePing, Length: 8, Flags: FlagMore}, "PING with flags 0x01"},
		{"metadata of a response", Header{Type: TypeResponse, Call: 1, Flags: FlagMeta}, "RESPONSE with flags 0x04"},
		{"metadata in the middle", Header{Type: TypeRequest, Call: 1, Flags: FlagCont | FlagMeta}, "on a continuation"},
		{"first chunk without total", Header{Type: TypeRequest, Call: 1, Length: 7, Flags: FlagMore}, "without its total length"},
		{"compressed", Header{Type: TypeRequest, Call: 1, Flags: FlagCompressed}, "compressed"},
	} {
		_, err := NewReader(bytes.NewReader(c.h.Append(nil))).Next()
		var v Violation
		if !errors.As(err, &v) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a violation with %q", c.name, err, c.want)
		}
	}
	ok := Header{Type: TypeRequest, Call: 1, Flags: 0xd0 | FlagMore, Length: 8}
	if err := ok.check(); err != nil {
		t.Errorf("unknown flags in the high nibble: %v", err)
	}
}

func TestReaderEnds(t *testing.T) {
	ping := AppendPing(nil, TypePing, [8]byte{})
	broken := errors.New("broken")
	for n := range len(ping) + 1 {
		want := io.ErrUnexpectedEOF
		if n == 0 || n == len(ping) {
			want = io.EOF
		}
		r := NewReader(bytes.NewReader(ping[:n]))
		_, err := r.Next()
		if n == len(ping) && err == nil {
			_, err = r.Next()
		}
		if err != want {
			t.Errorf("after %d bytes: %v, want %v", n, err, want)
		}
		r = NewReader(io.MultiReader(bytes.NewReader(ping[:n]), iotest.ErrReader(broken)))
		if _, err = r.Next(); n < len(ping) && err != broken {
			t.Errorf("broken after %d bytes: %v", n, err)
		}
	}
	if _, err := NewReader(&cutReader{}).Next(); err != io.ErrNoProgress {
		t.Errorf("a source that returns nothing: %v", err)
	}
}

// TestReaderBuffers sends frames of every size through small reads, and looks at the buffer
// that remains. Now and then nobody wants a body.
func TestReaderBuffers(t *testing.T) {
	var stream []byte
	sizes := []int{0, 1, 4079, 4080, 4081, 9000, MaxChunk, MaxBody, 3, MaxBody, 0}
	for i, n := range sizes {
		h := Header{Call: 1, Type: TypeData}
		if i%2 == 0 {
			h.Flags = FlagCont
		}
		stream = append(stream, frame(h, bytes.Repeat([]byte{byte(i)}, n))...)
	}
	for unwanted, cut := range []int{1000, 4096, 70000, 1000, 4096, 4096, 4096, 70000, 50000, 50000} {
		r := NewReader(&cutReader{stream, cut})
		for i, n := range sizes {
			f, err := r.Next()
			if err != nil || int(f.Length) != n {
				t.Fatalf("frame %d in reads of %d: %d bytes, %v", i, cut, f.Length, err)
			}
			if i == unwanted {
				continue
			}
			body := make([]byte, n, n+(i+unwanted)%4*10)
			if err := f.ReadBody(body); err != nil || !bytes.Equal(body, bytes.Repeat([]byte{byte(i)}, n)) {
				t.Fatalf("frame %d in reads of %d: %v", i, cut, err)
			}
		}
		r.Next()
		if len(r.buf) != smallBuffer {
			t.Errorf("an idle reader keeps %d bytes", len(r.buf))
		}
	}
	r := NewReader(bytes.NewReader(Header{Call: 1, Type: TypeData, Length: MaxBody}.Append(nil)))
	if _, err := r.Next(); err != io.ErrUnexpectedEOF || len(r.buf) != smallBuffer {
		t.Errorf("a long frame of which nothing comes: %v, with a buffer of %d", err, len(r.buf))
	}
}

func TestPreface(t *testing.T) {
	lo, hi, err := ParsePreface(AppendPreface(nil, 1, 3))
	if lo != 1 || hi != 3 || err != nil {
		t.Errorf("%d, %d, %v", lo, hi, err)
	}
	if err := CheckMagic([]byte("GET ")); err == nil || !strings.Contains(err.Error(), `"GET "`) {
		t.Errorf("HTTP: %v", err)
	}
	if _, _, err := ParsePreface(AppendPreface(nil, 3, 1)); err == nil {
		t.Error("versions 3 to 1 are accepted")
	}
}

func TestHello(t *testing.T) {
	want := Hello{
		Deployment: "build", Weavelet: "weavelet", MaxMessage: 1 << 40, MaxInFlight: 7,
		Window: MinWindow, CallWindow: 1<<32 - 1, Features: 5,
	}
	got, err := ParseHello(want.Append(nil)[HeaderSize:])
	if got != want || err != nil {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	got, err = ParseHello([]byte{99, 0, 2, 0, 1, 2, 0, 0, 0, 0})
	if want := (Hello{MaxMessage: 100 << 20, MaxInFlight: 1024, Window: 4 << 20, CallWindow: 256 << 10}); got != want || err != nil {
		t.Errorf("unknown elements: %+v, %v", got, err)
	}
	long := Hello{Deployment: strings.Repeat("x", 5000), Weavelet: strings.Repeat("x", 5000), MaxInFlight: 1, Window: MinWindow, CallWindow: MinWindow}
	if got, err := NewReader(bytes.NewReader(long.Append(nil))).Next(); err != nil || len(got.Body) > MaxHello {
		t.Errorf("long texts: %d bytes, %v", len(got.Body), err)
	}
	for name, body := range map[string][]byte{
		"cut in the tag":   {1, 0, 1},
		"cut in the value": {1, 0, 2, 0, 'x'},
		"wrong length":     {3, 0, 2, 0, 1, 1},
		"twice":            {3, 0, 4, 0, 1, 0, 0, 0, 3, 0, 4, 0, 1, 0, 0, 0},
		"no calls":         {3, 0, 4, 0, 0, 0, 0, 0},
		"small window":     {4, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 1},
	} {
		var v Violation
		if _, err := ParseHello(body); !errors.As(err, &v) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSections(t *testing.T) {
	for _, c := range []struct {
		trace trace.SpanContext
		meta  map[string]string
	}{
		{},
		{trace: goldenTrace},
		{meta: map[string]string{"a": "", "": "b", "key": strings.Repeat("v", 60000)}},
		{goldenTrace, map[string]string{"user": "ada"}},
	} {
		b, flags, err := AppendSections(nil, c.trace, c.meta)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, "args"...)
		trace, meta, args, err := ParseSections(flags, b)
		if trace != c.trace || !maps.Equal(meta, c.meta) || string(args) != "args" || err != nil {
			t.Errorf("%v %v %q %v", trace, meta, args, err)
		}
		for n := range len(b) - 4 {
			if _, _, _, err := ParseSections(flags, b[:n]); err == nil {
				t.Fatalf("%d of %d bytes are accepted", n, len(b))
			}
		}
	}
	if _, _, err := AppendSections(nil, trace.SpanContext{}, map[string]string{"k": strings.Repeat("v", MaxMeta)}); err == nil {
		t.Error("metadata of more than 64 KB is accepted")
	}
	inner := []byte{5, 0, 2, 0, 'k', 'k', 9, 0, 0}
	if _, _, _, err := ParseSections(FlagMeta, inner); err == nil {
		t.Error("a string that reaches beyond its section is accepted")
	}
}

func TestMessage(t *testing.T) {
	chunk := func(flags Flags, parts ...[]byte) Frame {
		b := frame(Header{Call: 1, Type: TypeRequest, Flags: flags}, parts...)
		h, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		return Frame{Header: h, Body: b[HeaderSize:]}
	}
	first := chunk(FlagMore, AppendTotal(nil, 9), []byte("one"))
	m, err := NewMessage(first, 4)
	if err != nil || cap(m.body) != 4 {
		t.Fatalf("%d bytes allocated, %v", cap(m.body), err)
	}
	for _, f := range []Frame{chunk(FlagMore|FlagCont, []byte("two")), chunk(FlagMore | FlagCont), chunk(FlagCont, []byte("six"))} {
		if m.Done() {
			t.Fatal("done early")
		}
		if err := m.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	if !m.Done() || string(m.Body()) != "onetwosix" || m.Memory() != 4+6 {
		t.Fatalf("%q in %d bytes of memory, done %v", m.Body(), m.Memory(), m.Done())
	}

	for name, second := range map[string]Frame{
		"too long":        chunk(FlagMore|FlagCont, []byte("1234567")),
		"too short":       chunk(FlagCont, []byte("12345")),
		"another message": chunk(0, []byte("123456")),
		"another start":   first,
		"another type":    {Header: Header{Call: 1, Type: TypeData, Flags: FlagCont}, Body: []byte("123456")},
	} {
		m, err := NewMessage(first, 4)
		if err != nil {
			t.Fatal(err)
		}
		var v Violation
		if err := m.Add(second); !errors.As(err, &v) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewMessage(chunk(FlagMore, AppendTotal(nil, 2), []byte("one")), 4); err == nil {
		t.Error("a first chunk longer than the message is accepted")
	}
	long := bytes.Repeat([]byte("0123456789abcdef"), MaxChunk/4)
	m, err = NewMessage(chunk(FlagMore, AppendTotal(nil, len(long)), long[:MaxChunk]), 2*MaxChunk)
	for at := MaxChunk; err == nil && at < len(long); at += MaxChunk {
		flags := FlagCont
		if at+MaxChunk < len(long) {
			flags |= FlagMore
		}
		before := m.Memory()
		err = m.Add(chunk(flags, long[at:at+MaxChunk]))
		if grown := m.Memory() - before; grown > piece || m.Memory() > growth*(at+MaxChunk) {
			t.Errorf("%d bytes take %d of memory, %d more than before", at+MaxChunk, m.Memory(), grown)
		}
	}
	if head := m.Head(); err != nil || len(head) < maxSections || !bytes.HasPrefix(long, head) || !bytes.Equal(m.Body(), long) {
		t.Errorf("a message in pieces, of which the first has %d bytes, is not what was sent: %v", len(head), err)
	}
	huge := chunk(FlagMore, []byte{255, 255, 255, 255, 255, 255, 255, 255, 'x'})
	if m, err := NewMessage(huge, 1<<10); err != nil || cap(m.body) != 1<<10 {
		t.Errorf("a message of 2^64-1 bytes: %v", err)
	}
}

func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		left time.Duration
		aux  uint32
	}{
		{-time.Second, 1}, {0, 1}, {1, 1}, {64 * time.Microsecond, 1}, {64*time.Microsecond + 1, 2},
		{time.Second, 15625}, {64 * time.Microsecond * math.MaxUint32, math.MaxUint32},
		{64*time.Microsecond*math.MaxUint32 + 1, 0}, {100 * time.Hour, 0}, {math.MaxInt64, 0}, {math.MinInt64, 1},
	} {
		aux := TimeLeftAux(c.left)
		back, bounded := TimeLeft(aux)
		if aux != c.aux || bounded && back < c.left {
			t.Errorf("%v: aux %d, which is %v", c.left, aux, back)
		}
	}
	if _, ok := TimeLeft(0); ok {
		t.Error("0 is a deadline")
	}
}

func TestCost(t *testing.T) {
	for _, c := range []struct {
		h    Header
		cost int64
	}{
		{Header{Type: TypeRequest, Length: 100}, 0},
		{Header{Type: TypeResponse, Length: 100, Flags: FlagCont}, 116},
		{Header{Type: TypeData}, 16},
	} {
		if got := c.h.Cost(); got != c.cost {
			t.Errorf("%v: %d, want %d", c.h, got, c.cost)
		}
	}
}
