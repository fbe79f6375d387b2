package codegen

import "sync"

// maxKept bounds the buffers that are kept for later calls. The collector frees those that nobody uses.
const maxKept = 4 << 20

var (
	buffers = sync.Pool{New: func() any { return new([]byte) }}
	headers = sync.Pool{New: func() any { return new([]byte) }} // of buffers in use: to put one back allocates nothing
)

// takeBuffer returns an empty buffer, which may have room.
func takeBuffer() []byte {
	header := buffers.Get().(*[]byte)
	b := *header
	*header = nil
	headers.Put(header)
	return b
}

// Recycle takes the body that Serve returned, once nobody uses it any more, for a later call.
func Recycle(body []byte) {
	if cap(body) > maxKept {
		return
	}
	header := headers.Get().(*[]byte)
	*header = body[:0]
	buffers.Put(header)
}
