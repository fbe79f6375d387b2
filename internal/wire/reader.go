package wire

import (
	"io"
	"sync"
)

const (
	smallBuffer = 4 << 10
	largeBuffer = HeaderSize + MaxBody
)

// largeBuffers lends buffers to connections for as long as something is in them, so that an
// idle connection costs no more than its small buffer.
var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// Reader reads frames. What it allocates is bounded by what has arrived: 4 KB, and one longest
// frame once these are full. It does not read the end of a long body, which goes straight to where the body
// stays, by [Frame.ReadBody], or is skipped.
type Reader struct {
	src   io.Reader
	small []byte
	large *[largeBuffer]byte
	buf   []byte // small, or large in full
	r, w  int    // buf[r:w] has been read from src and not yet returned
	much  bool   // the last read from src brought as much as a small buffer holds: more may be there
	left  int    // bytes of the last frame's body that have not been read from src; then the buffer is empty
}

// NewReader returns a Reader of the frames in src.
func NewReader(src io.Reader) *Reader {
	small := make([]byte, smallBuffer)
	return &Reader{src: src, small: small, buf: small}
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
		r.w = copy(r.buf, room[len(b):n])
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

// rewind makes an empty buffer a small one, unless much is there.
func (r *Reader) rewind() {
	r.r, r.w = 0, 0
	if r.large != nil && !r.much {
		largeBuffers.Put(r.large)
		r.large, r.buf = nil, r.small
	}
}

// fill makes sure that n bytes are buffered.
func (r *Reader) fill(n int) error {
	for empty := 0; r.w-r.r < n; {
		if r.w == len(r.buf) || r.much && r.large == nil {
			r.makeRoom()
		}
		m, err := r.src.Read(r.buf[r.w:])
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

// makeRoom moves what is buffered to the start, of a large buffer if the small one is full or much is
// there.
func (r *Reader) makeRoom() {
	old := r.buf[r.r:r.w]
	if r.large == nil && (r.r == 0 || r.much) {
		r.large = largeBuffers.Get().(*[largeBuffer]byte)
		r.buf = r.large[:]
	}
	r.r, r.w = 0, copy(r.buf, old)
}
