package link

import "github.com/divisi-go/divisi/internal/wire"

// Outflow is the credit that the peer has given to one call.
type Outflow struct {
	Credit  int64
	stalled *Outgoing // waits for more credit
}

// Outgoing is a long message, which may need credit, or an element of a stream. Its bytes are copied into a
// write chunk by chunk, or written from where they lie as far as the peer takes them at once, so that
// whoever owns them has them back as soon as it is done or dropped.
type Outgoing struct {
	Header     wire.Header // of the first frame; Length is set for each
	Head, Body []byte      // the message is both
	Flow       *Outflow
	Done       chan struct{} // closed when all is copied, written or given up; nil if nobody waits

	Err error // why it was given up; set before Done is closed

	off   int
	after uint64 // goes after so many blocks of the queue: after what was sent before it
	gone  bool   // dropped, failed or finished
}

func (o *Outgoing) size() int { return len(o.Head) + len(o.Body) }

// next returns the header of the next frame and the number of the message's bytes in it.
func (o *Outgoing) next() (h wire.Header, n int) {
	h, n = o.Header, min(o.size()-o.off, wire.MaxChunk)
	if o.size() <= wire.MaxBody {
		n = o.size()
	}
	h.Length = uint32(n)
	if o.off+n < o.size() {
		h.Flags |= wire.FlagMore
	}
	switch {
	case o.off > 0:
		h.Flags = h.Flags&wire.FlagMore | wire.FlagCont
	case h.Flags&wire.FlagMore != 0:
		h.Length += 8
	}
	return h, n
}

// append appends the next frame to b, but for the part of the body that it returns.
func (o *Outgoing) append(b []byte) (block, body []byte) {
	h, n := o.next()
	b = h.Append(b)
	if h.First() {
		b = wire.AppendTotal(b, o.size())
	}
	if from := o.off; from < len(o.Head) {
		b = append(b, o.Head[from:min(from+n, len(o.Head))]...)
	}
	from, to := max(o.off-len(o.Head), 0), max(o.off+n-len(o.Head), 0)
	o.off += n
	return b, o.Body[from:to]
}

// finishLocked is called with the writer's mutex held.
func (o *Outgoing) finishLocked(err error) {
	o.gone, o.Err = true, err
	if o.Done != nil {
		close(o.Done)
	}
}
