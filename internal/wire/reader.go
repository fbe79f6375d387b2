package wire

import (
	"io"
	"sync"
)

const (
	smallBuffer = 4 << 10
	largeBuffer = HeaderSize + MaxBody
)

// Buffers are lent to readers for as long as something is in them: an idle connection has none.
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// Lender is a source that needs no buffer while it waits. ReadLent reads once, into what lend returns, and
// calls back, and lend again later, when it finds that it has to wait.
type Lender interface {
	ReadLent(lend func() []byte, back func()) (int, error)
}

// Reader reads frames. What it allocates is bounded by what has arrived: 4 KB, and one longest
// frame once these are full. It does not read the end of a long body, which goes straight to where the body
// stays, by [Frame.ReadBody], or is skipped.
type Reader struct {
	src    io.Reader
	lender Lender // src; nil if that is none
	lend   func() []byte
	back   func()

	small *[smallBuffer]byte
	large *[largeBuffer]byte
	buf   []byte // small or large in full, of which there is one at most
	r, w  int    // buf[r:w] has been read from src and not yet returned
	much  bool   // the last read from src brought as much as a small buffer holds: more may be there
	left  int    // bytes of the last frame's body that have not been read from src; then the buffer is empty
}

// NewReader returns a Reader of the frames in src, which may be a [Lender].
func NewReader(src io.Reader) *Reader {
	r := &Reader{src: src}
	r.lend, r.back = r.room, r.rewind
	r.lender, _ = src.(Lender)
	return r
}

// Next returns the next frame, whose body is valid until the next call of Next. The error is
// io.EOF when src ends between two frames, a Violation when the next header is not
// acceptable, or the error of src.
func (r *Reader) Next() (Frame, error) {
	if err := r.skip(); err != nil {
		return Frame{}, err
	}
	if r.r == r.w {
		r.rewind()
	}
	if err := r.fill(HeaderSize); err != nil {
		return Frame{}, err
	}
	h, err := ParseHeader(r.buf[r.r:])
	if err != nil {
		return Frame{}, err
	}
	n := HeaderSize + int(h.Length)
	have := n
	switch {
	case n <= smallBuffer, h.First(): // which pays for the memory of the others
	case r.large == nil && h.Flags&FlagCont == 0:
		have = smallBuffer - r.r
	default:
		have = min(n, r.w-r.r)
	}
	if err := r.fill(have); err != nil {
		return Frame{}, err
	}
	body := r.buf[r.r+HeaderSize : r.r+have : r.r+have]
	r.r += have
	r.left = n - have
	return Frame{h, body, r.left, r}, nil
}

// rest reads the rest of a body into b, which is as long, and the next header with it, if there is room for
// that behind b.
func (r *Reader) rest(b []byte) error {
	r.much = false // what is long needs no large buffer
	r.rewind()
	room := b[:min(cap(b), len(b)+HeaderSize)]
	n, err := io.ReadAtLeast(r.src, room, len(b))
	r.left -= min(n, len(b))
	if n > len(b) {
		r.w = copy(r.room(), room[len(b):n])
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skip drops the rest of a body that nobody wanted.
func (r *Reader) skip() error {
	if r.left == 0 {
		return nil
	}
	b := largeBuffers.Get().(*[largeBuffer]byte)
	defer largeBuffers.Put(b)
	return r.rest(b[:r.left])
}

// Whole reports whether Next returns a frame without reading from src.
func (r *Reader) Whole() bool {
	n := r.w - r.r
	return n >= HeaderSize && n >= HeaderSize+int(le.Uint32(r.buf[r.r:]))
}

// rewind gives an empty buffer back.
func (r *Reader) rewind() {
	r.r, r.w, r.buf = 0, 0, nil
	if r.small != nil {
		smallBuffers.Put(r.small)
	}
	if r.large != nil {
		largeBuffers.Put(r.large)
	}
	r.small, r.large = nil, nil
}

// room returns where to read to: in a buffer that is lent now, if there is none.
func (r *Reader) room() []byte {
	switch {
	case r.buf != nil:
	case r.much:
		r.large = largeBuffers.Get().(*[largeBuffer]byte)
		r.buf = r.large[:]
	default:
		r.small = smallBuffers.Get().(*[smallBuffer]byte)
		r.buf = r.small[:]
	}
	return r.buf[r.w:]
}

// fill makes sure that n bytes are buffered.
func (r *Reader) fill(n int) error {
	for empty := 0; r.w-r.r < n; {
		m, err := r.read()
		r.w += m
		r.much = m >= smallBuffer || r.w == len(r.buf)
		switch {
		case r.w-r.r >= n:
		case err == io.EOF && r.w > r.r:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case m == 0:
			if empty++; empty == 100 {
				return io.ErrNoProgress
			}
		}
	}
	return nil
}

// read reads once from src.
func (r *Reader) read() (int, error) {
	if r.w == 0 && r.lender != nil {
		return r.lender.ReadLent(r.lend, r.back)
	}
	if r.w > 0 && (r.w == len(r.buf) || r.much && r.large == nil) {
		r.makeRoom()
	}
	return r.src.Read(r.room())
}

// makeRoom moves what is buffered to the start, of a large buffer if the small one is full or much is
// there.
func (r *Reader) makeRoom() {
	if r.large != nil || r.r > 0 && !r.much {
		r.r, r.w = 0, copy(r.buf, r.buf[r.r:r.w])
		return
	}
	large := largeBuffers.Get().(*[largeBuffer]byte)
	n := copy(large[:], r.buf[r.r:r.w])
	r.rewind()
	r.large, r.buf, r.w = large, large[:], n
}
