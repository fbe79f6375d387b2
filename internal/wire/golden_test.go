package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/trace"
)

var update = flag.Bool("update", false, "rewrite the golden files: only when the format is meant to change")

var (
	goldenKey   = [16]byte{0: 0xa0, 15: 0xaf}
	goldenTrace = trace.SpanContext{TraceID: [16]byte{0: 1, 15: 2}, SpanID: [8]byte{0: 3, 7: 4}, Flags: 1}
)

// frame builds a frame whose body is the concatenation of parts.
func frame(h Header, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	h.Length = uint32(len(body))
	return append(h.Append(nil), body...)
}

func goldens(t testing.TB) map[string][]byte {
	sections, flags, err := AppendSections(nil, goldenTrace, map[string]string{"user": "ada"})
	if err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte{0xcc}, 8)
	return map[string][]byte{
		"preface": AppendPreface(nil, 1, 3),
		"hello": Hello{
			Deployment: "b1", Weavelet: "w7", MaxMessage: 100 << 20, MaxInFlight: 1024, Window: 4 << 20, CallWindow: 256 << 10,
		}.Append(nil),
		"bind": AppendBind(nil, 5, goldenKey),
		"request": frame(Header{Call: 0x00100001, Code: 5, Type: TypeRequest, Flags: FlagIdempotent, Aux: 1563},
			[]byte("arguments")),
		"request-sections": frame(Header{Call: 0x00100002, Code: 5, Type: TypeRequest, Flags: flags}, sections, []byte("args")),
		"request-chunks": slices.Concat(
			frame(Header{Call: 0x00200001, Code: 5, Type: TypeRequest, Flags: FlagMore}, AppendTotal(nil, 20), chunk),
			frame(Header{Call: 0x00200001, Type: TypeRequest, Flags: FlagMore | FlagCont}, chunk),
			frame(Header{Call: 0x00200001, Type: TypeRequest, Flags: FlagCont}, chunk[:4])),
		"response":        frame(Header{Call: 0x00100001, Type: TypeResponse, Aux: LoadAux(3)}, []byte("results")),
		"response-status": frame(Header{Call: 0x00100002, Code: 4, Type: TypeResponse, Aux: LoadAux(1 << 20)}),
		"cancel":          AppendCancel(nil, 0x00300002),
		"data":            frame(Header{Call: 0x00100003, Type: TypeData}, []byte("element")),
		"credit":          slices.Concat(AppendCredit(nil, 0, 2<<20), AppendCredit(nil, 0x00100003, 128<<10)),
		"ping":            slices.Concat(AppendPing(nil, TypePing, [8]byte{1, 2, 3}), AppendPing(nil, TypePong, [8]byte{1, 2, 3})),
		"goaway": slices.Concat(
			GoAway{Reason: ReasonDrain, Last: 0x00100003, Text: "this replica is draining"}.Append(nil),
			GoAway{Reason: ReasonViolation, Text: "unknown frame type 77"}.Append(nil)),
	}
}

// TestGolden keeps the format: what this package writes is what the files hold.
func TestGolden(t *testing.T) {
	for name, got := range goldens(t) {
		path := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(annotate(name, got)), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := readHex(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", name, got, want)
		}
	}
}

// TestGoldenFrames reads the files as frames, however they are cut into reads, and writes them
// again.
func TestGoldenFrames(t *testing.T) {
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) != len(goldens(t)) {
		t.Fatalf("%d golden files for %d cases: %v", len(files), len(goldens(t)), err)
	}
	for _, path := range files {
		want, err := readHex(path)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(path) == "preface.hex" {
			continue
		}
		for _, cut := range []int{1, 7, len(want)} {
			var got []byte
			r := NewReader(&cutReader{want, cut})
			for len(got) < len(want) {
				f, err := r.Next()
				if err != nil {
					t.Fatalf("%s in reads of %d: %v", path, cut, err)
				}
				got = append(f.Append(got), f.Body...)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s in reads of %d:\n got %x\nwant %x", path, cut, got, want)
			}
		}
	}
}

// annotate formats frames as hex, a header and a body to a line.
func annotate(name string, b []byte) string {
	var s strings.Builder
	fmt.Fprintf(&s, "# %s\n", name)
	for name != "preface" && len(b) >= HeaderSize {
		h, err := ParseHeader(b)
		if err != nil {
			break
		}
		n := HeaderSize + int(h.Length)
		fmt.Fprintf(&s, "%x\n", b[:HeaderSize])
		for body := range slices.Chunk(b[HeaderSize:n], 32) {
			fmt.Fprintf(&s, "  %x\n", body)
		}
		b = b[n:]
	}
	if len(b) > 0 {
		fmt.Fprintf(&s, "%x\n", b)
	}
	return s.String()
}

func readHex(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			digits.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	return hex.DecodeString(digits.String())
}

// cutReader returns at most n bytes at a time.
type cutReader struct {
	b []byte
	n int
}

func (r *cutReader) Read(p []byte) (int, error) {
	n := copy(p, r.b[:min(len(r.b), r.n)])
	r.b = r.b[n:]
	return n, nil
}
