package wire

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"testing"
)

func seed(f *testing.F, names ...string) {
	all := goldens(f)
	for _, n := range names {
		f.Add(all[n])
	}
	if len(names) == 0 {
		for _, b := range all {
			f.Add(b)
		}
	}
}

// FuzzFrame reads a connection: whatever arrives is refused or is written back unchanged.
func FuzzFrame(f *testing.F) {
	seed(f)
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add(frame(Header{Call: 1, Type: TypeData}, make([]byte, 10_000)))
	f.Add(frame(Header{Call: 1, Type: TypeData, Flags: FlagCont}, make([]byte, 10_000)))
	f.Add(bytes.Repeat([]byte{0xff}, 22))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(&trickle{rest: data, piece: 1 + len(data)%5000, waits: func() {}})
		var back []byte
		for {
			fr, err := r.Next()
			if err != nil {
				var v Violation
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.As(err, &v) {
					t.Fatalf("%v", err)
				}
				break
			}
			body := make([]byte, fr.Length)
			if err := fr.ReadBody(body); err == io.ErrUnexpectedEOF && !fr.Whole() {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			back = append(fr.Append(back), body...)
			decodeBody(t, fr)
		}
		if !bytes.HasPrefix(data, back) {
			t.Fatalf("%x was read as %x", data, back)
		}
	})
}

// decodeBody decodes what the type says, and encodes it again.
func decodeBody(t *testing.T, f Frame) {
	var again []byte
	switch f.Type {
	case TypeBind:
		index, key := ParseBind(f.Body)
		again = AppendBind(nil, index, key)
	case TypeCredit:
		again = AppendCredit(nil, f.Call, ParseCredit(f.Body))
	case TypeGoAway:
		if g := ParseGoAway(f); len(g.Text) > 3*MaxReason {
			t.Fatalf("a reason of %d bytes", len(g.Text))
		}
		return
	default:
		return
	}
	if !bytes.Equal(again[HeaderSize:], f.Body) {
		t.Fatalf("%s %x was written back as %x", f.Type, f.Body, again[HeaderSize:])
	}
}

func FuzzHello(f *testing.F) {
	for _, h := range []Hello{{MaxInFlight: 1, Window: MinWindow, CallWindow: MinWindow}, {Deployment: "b", Weavelet: "w", MaxInFlight: 9, Window: 1 << 20, CallWindow: 1 << 20, Features: 1}} {
		f.Add(h.Append(nil)[HeaderSize:])
	}
	f.Add([]byte{3, 0, 4, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := ParseHello(body)
		if err != nil {
			return
		}
		if again, err := ParseHello(h.Append(nil)[HeaderSize:]); again != h || err != nil {
			t.Fatalf("%+v was written back as %+v, %v", h, again, err)
		}
	})
}

func FuzzBind(f *testing.F) {
	f.Add(uint16(5), goldenKey[:])
	f.Fuzz(func(t *testing.T, index uint16, key []byte) {
		var k [16]byte
		copy(k[:], key)
		fr, err := NewReader(bytes.NewReader(AppendBind(nil, index, k))).Next()
		if err != nil {
			t.Fatal(err)
		}
		if i, got := ParseBind(fr.Body); i != index || got != k {
			t.Fatalf("%d %x, want %d %x", i, got, index, k)
		}
	})
}

func FuzzMeta(f *testing.F) {
	b, flags, err := AppendSections(nil, goldenTrace, map[string]string{"user": "ada", "": "x"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(flags), b)
	f.Add(byte(FlagMeta), []byte{5, 0, 2, 0, 'k', 'k', 9, 0, 0})
	f.Add(byte(FlagMeta), []byte{0, 0})
	f.Fuzz(func(t *testing.T, flags byte, body []byte) {
		trace, meta, args, err := ParseSections(Flags(flags), body)
		if err != nil {
			return
		}
		b, again, err := AppendSections(nil, trace, meta)
		if err != nil {
			t.Fatal(err)
		}
		trace2, meta2, args2, err := ParseSections(again, append(b, args...))
		if trace2 != trace || !maps.Equal(meta2, meta) || !bytes.Equal(args2, args) || err != nil {
			t.Fatalf("%v %v %x %v, want %v %v %x", trace2, meta2, args2, err, trace, meta, args)
		}
	})
}

func FuzzPreface(f *testing.F) {
	seed(f, "preface")
	f.Add([]byte("GET / HT"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < PrefaceSize {
			return
		}
		lo, hi, err := ParsePreface(b)
		if err == nil && !bytes.Equal(AppendPreface(nil, lo, hi), b[:PrefaceSize]) {
			t.Fatalf("%x was read as %d to %d", b, lo, hi)
		}
	})
}

// FuzzMessage feeds frames of one call to a message: its memory stays within a multiple of
// what has arrived and the window.
func FuzzMessage(f *testing.F) {
	seed(f, "request-chunks")
	f.Fuzz(func(t *testing.T, data []byte) {
		const window = 64
		r := NewReader(bytes.NewReader(data))
		var m *Message
		for arrived := 0; ; {
			fr, err := r.Next()
			if err != nil {
				return
			}
			switch {
			case m == nil && fr.First():
				m, err = NewMessage(fr, window)
			case m != nil:
				err = m.Add(fr)
			default:
				return
			}
			if err != nil {
				return
			}
			if arrived += int(fr.Length); cap(m.body) > max(window, growth*arrived) {
				t.Fatalf("%d bytes for %d", cap(m.body), arrived)
			}
			if m.Done() && uint64(len(m.Body())) != m.total {
				t.Fatalf("done with %d of %d bytes", len(m.Body()), m.total)
			}
		}
	})
}
