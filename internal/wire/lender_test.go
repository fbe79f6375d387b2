package wire

import (
	"bytes"
	"io"
	"testing"
)

// trickle is a source that has to wait before each piece.
type trickle struct {
	rest  []byte
	piece int
	waits func() // is called while it waits
}

var _ Lender = (*trickle)(nil)

func (s *trickle) ReadLent(lend func() []byte, back func()) (int, error) {
	lend()
	back()
	s.waits()
	return s.Read(lend())
}

func (s *trickle) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.rest[:min(s.piece, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}

// TestLender: between two frames a reader has no buffer while its source waits, whatever was read before, and
// all frames arrive.
func TestLender(t *testing.T) {
	var sizes []int
	var sent []byte
	for _, size := range []int{0, 8, MaxBody, 100, smallBuffer, smallBuffer - HeaderSize, 0, 20_000, 8} {
		sizes = append(sizes, size)
		sent = append(sent, frame(Header{Call: 1, Type: TypeResponse}, bytes.Repeat([]byte{byte(len(sizes))}, size))...)
	}
	for _, piece := range []int{1, HeaderSize, 1000, smallBuffer, len(sent)} {
		source := &trickle{rest: sent, piece: piece}
		r := NewReader(source)
		waited := 0
		source.waits = func() {
			waited++
			if r.buf != nil || r.small != nil || r.large != nil {
				t.Errorf("pieces of %d: it waits with a buffer of %d bytes", piece, len(r.buf))
			}
		}
		for i, size := range sizes {
			f, err := r.Next()
			if err != nil {
				t.Fatalf("pieces of %d, frame %d: %v", piece, i, err)
			}
			body := make([]byte, f.Length)
			if err := f.ReadBody(body); err != nil {
				t.Fatalf("pieces of %d, frame %d: %v", piece, i, err)
			}
			if !bytes.Equal(body, bytes.Repeat([]byte{byte(i + 1)}, size)) {
				t.Errorf("pieces of %d: frame %d is not what was sent", piece, i)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("pieces of %d: %v at the end", piece, err)
		}
		if waited == 0 {
			t.Errorf("pieces of %d: it has not waited", piece)
		}
	}
}
