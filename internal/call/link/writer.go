package link

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/wire"
)

const (
	blockSize  = 128 << 10 // most bytes of queued frames in one write
	smallBlock = 16 << 10  // what a buffer begins with
	blockCap   = blockSize + wire.HeaderSize + wire.MaxBody

	writePiece = 32 << 10 // most bytes in one call of Write

	farewellTime = time.Second // for a last GOAWAY to leave
)

var (
	// Buffers are lent to a connection for as long as something is in them: an idle one has none.
	smallBlocks = sync.Pool{New: func() any { return new([smallBlock]byte) }}
	largeBlocks = sync.Pool{New: func() any { return new([blockCap]byte) }}

	// ErrSlowPeer is why a link ends that has far too much to say to its peer.
	ErrSlowPeer = errors.New("the peer does not read what it asked for")

	errDropped = errors.New("the message has been given up")
)

// Flush says who writes what is queued.
type Flush int

// Who writes.
const (
	Later Flush = iota // whoever calls [Writer.Flush] soon
	Other              // another goroutine
	Try                // this goroutine what the peer takes at once, another one the rest
	Self               // this goroutine, which may be kept by a slow peer
)

// trier is a connection that can be written to without waiting. WriteNow returns how much was written.
type trier interface {
	WriteNow(b []byte) (int, error)
}

// Outflow is the credit that the peer has given to one call.
type Outflow struct {
	Credit  int64
	stalled *Outgoing // waits for more credit
}

// Outgoing is a message that needs credit: one in chunks, or an element of a stream. Its bytes
// are copied into a write chunk by chunk, so that whoever owns them has them back as soon as
// it is done or dropped.
type Outgoing struct {
	Header     wire.Header // of the first frame; Length is set for each
	Head, Body []byte      // the message is both
	Flow       *Outflow
	Done       chan struct{} // closed when all is copied or given up; nil if nobody waits

	Err error // why it was given up; set before Done is closed

	off   int
	after uint64 // goes after so many blocks of the queue: after what was sent before it
	gone  bool   // dropped, failed or finished
}

func (o *Outgoing) size() int { return len(o.Head) + len(o.Body) }

// next returns the header of the next frame and the number of the message's bytes in it.
func (o *Outgoing) next() (h wire.Header, n int) {
	h, n = o.Header, min(o.size()-o.off, wire.MaxChunk)
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

// append appends the next frame to b.
func (o *Outgoing) append(b []byte) []byte {
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
	return append(b, o.Body[from:to]...)
}

// finishLocked is called with the writer's mutex held.
func (o *Outgoing) finishLocked(err error) {
	o.gone, o.Err = true, err
	if o.Done != nil {
		close(o.Done)
	}
}

// Writer sends the frames of one connection. Senders append them to its queue; one goroutine
// at a time, sometimes a sender, writes what everybody has appended (flat combining). Messages
// in chunks take turns, and whole frames overtake them between any two chunks.
//
// Invariants, whenever mu is free:
//   - queued is the number of bytes in urgent and blocks;
//   - if something can be written and err is nil, busy is set and somebody writes it, or somebody is about
//     to call Flush;
//   - a message that needs credit and is not gone is in turns, or, if its call lacks credit for its
//     next frame, in stalled and in its Outflow;
//   - once err is set it stays, and turns, stalled, blocks and urgent are empty.
type Writer struct {
	nc     net.Conn
	try    trier // nil: a write may wait
	limit  int
	load   func() int  // calls in flight: with several, others are about to append too
	failed func(error) // told of an error of the connection, without mu

	mu      sync.Mutex
	room    Line        // senders that wait for the queue to become shorter
	urgent  []byte      // goes before anything queued: PONG, CREDIT
	blocks  [][]byte    // the queue, cut between frames
	queued  int         // bytes in blocks and urgent
	taken   uint64      // blocks that have left the queue
	turns   []*Outgoing // have credit of their own
	stalled map[*Outgoing]struct{}
	credit  int64 // of the connection
	busy    bool  // somebody writes
	bytes   uint64
	err     error
	last    []byte // GOAWAY to send before closing
	once    sync.Once
	closed  chan struct{} // closed when the connection has been, farewell included
}

func (w *Writer) init(nc net.Conn, limit int, credit uint32, load func() int, failed func(error)) {
	w.nc, w.limit, w.load, w.failed, w.credit = nc, limit, load, failed, int64(credit)
	w.try = trierOf(nc)
	w.room = NewLine(&w.mu, func() bool { return w.queued < w.limit || w.err != nil })
	w.stalled, w.closed = map[*Outgoing]struct{}{}, make(chan struct{})
}

// Send queues a frame, of which body is the last part, when there is room and its turn has come.
// It may wait, so the goroutine that reads does not call it.
func (w *Writer) Send(ctx context.Context, head, body []byte, how Flush) error {
	w.mu.Lock()
	err := w.room.EnterLocked(ctx)
	if err == nil {
		err = w.err
	}
	if err != nil {
		w.room.NextLocked()
		w.mu.Unlock()
		return err
	}

	w.enqueueLocked(head, body)
	w.room.NextLocked()
	w.flushLocked(how)
	return nil
}

// Flush writes what is queued, as far as the peer takes it at once, and has another goroutine write the
// rest.
func (w *Writer) Flush() {
	w.mu.Lock()
	w.flushLocked(Try)
}

// SendControl queues a short frame, from any goroutine, also if there is no room. Far too many of
// them end the connection: the peer causes them, and does not read.
func (w *Writer) SendControl(b []byte) {
	w.mu.Lock()
	if w.overfullLocked() {
		return
	}
	w.enqueueLocked(b, nil)
	w.flushLocked(Other)
}

// overfullLocked reports whether nothing can be queued any more, not even a control frame, and then
// releases mu, which was held.
func (w *Writer) overfullLocked() bool {
	most := w.limit + w.limit/4
	if w.err == nil && w.queued < most {
		return false
	}
	failed := w.err == nil
	w.mu.Unlock()
	if failed {
		w.failed(ErrSlowPeer)
	}
	return true
}

// QueueOnly queues a frame that is of no use before the next one comes.
func (w *Writer) QueueOnly(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.enqueueLocked(b, nil)
	}
	return w.err
}

// sendUrgent queues frames to be written before all others.
func (w *Writer) sendUrgent(b []byte) {
	w.mu.Lock()
	if w.overfullLocked() {
		return
	}
	w.urgent = append(w.urgent, b...)
	w.queued += len(b)
	w.flushLocked(Try) // where all processors are busy, another goroutine would come late
}

// enqueueLocked is called with mu held.
func (w *Writer) enqueueLocked(head, body []byte) {
	n := len(head) + len(body)
	i := len(w.blocks) - 1
	if i < 0 || len(w.blocks[i])+n > blockSize {
		w.blocks = append(w.blocks, nil)
		i++
	}
	b := grow(w.blocks[i], n)
	w.blocks[i] = append(append(b, head...), body...)
	w.queued += n
}

// grow makes room for n more bytes in a buffer, or in a larger one that takes its place.
func grow(b []byte, n int) []byte {
	var larger []byte
	switch {
	case len(b)+n <= cap(b):
		return b
	case len(b)+n <= smallBlock:
		larger = smallBlocks.Get().(*[smallBlock]byte)[:0]
	default:
		larger = largeBlocks.Get().(*[blockCap]byte)[:0]
	}
	larger = append(larger, b...)
	recycle(b)
	return larger
}

// recycle takes back a buffer that has been written.
func recycle(b []byte) {
	switch cap(b) {
	case smallBlock:
		smallBlocks.Put((*[smallBlock]byte)(b[:smallBlock]))
	case blockCap:
		largeBlocks.Put((*[blockCap]byte)(b[:blockCap]))
	}
}

// SendMessage starts a message that needs credit. It may have left, wholly or in part, when
// SendMessage returns.
func (w *Writer) SendMessage(o *Outgoing, how Flush) error {
	w.mu.Lock()
	switch {
	case w.err != nil:
		o.finishLocked(w.err)
		w.mu.Unlock()
		return w.err
	case o.gone:
		w.mu.Unlock()
		return nil
	}
	h, _ := o.next()
	cost := h.Cost()
	o.after = w.taken + uint64(len(w.blocks))
	switch {
	case o.Flow.Credit < cost:
		o.Flow.stalled = o
		w.stalled[o] = struct{}{}
	case len(w.turns) == 0 && h.Flags&wire.FlagMore == 0 && w.credit >= cost && w.queued < w.limit:
		// A short element, and nobody before it: it may share a write with others.
		w.spendLocked(o, cost)
		var head [wire.HeaderSize]byte
		w.enqueueLocked(h.Append(head[:0]), o.Body)
		o.finishLocked(nil)
	default:
		w.turns = append(w.turns, o)
	}
	w.flushLocked(how)
	return nil
}

func (w *Writer) spendLocked(o *Outgoing, cost int64) {
	w.credit -= cost
	o.Flow.Credit -= cost
}

// Drop gives up what is left of a message, and reports whether anything was.
func (w *Writer) Drop(o *Outgoing) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.gone {
		return false
	}
	w.forgetLocked(o)
	o.finishLocked(errDropped)
	return true
}

func (w *Writer) forgetLocked(o *Outgoing) {
	if i := slices.Index(w.turns, o); i >= 0 {
		w.turns = slices.Delete(w.turns, i, i+1)
	}
	if o.Flow.stalled == o {
		o.Flow.stalled = nil
		delete(w.stalled, o)
	}
}

// grant adds credit, of the connection if f is nil, and reports whether the sum is possible.
func (w *Writer) grant(f *Outflow, n uint32) bool {
	w.mu.Lock()
	sum := &w.credit
	if f != nil {
		sum = &f.Credit
	}
	if *sum += int64(n); *sum >= 1<<32 {
		w.mu.Unlock()
		return false
	}
	if f != nil && f.stalled != nil && w.err == nil {
		if h, _ := f.stalled.next(); f.Credit >= h.Cost() {
			w.turns = append(w.turns, f.stalled)
			delete(w.stalled, f.stalled)
			f.stalled = nil
		}
	}
	w.flushLocked(Other)
	return true
}

// readyLocked reports whether something can be written. It is called with mu held.
func (w *Writer) readyLocked() bool {
	if w.queued > 0 {
		return true
	}
	if len(w.turns) == 0 {
		return false
	}
	h, _ := w.turns[0].next()
	return w.credit >= h.Cost()
}

// Progress reports whether something is being written or could be, and how many bytes have been.
func (w *Writer) Progress() (waiting bool, written uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err == nil && (w.busy || w.readyLocked()), w.bytes
}

// flushLocked makes sure that what is ready gets written. It is called with mu held and returns
// without it.
func (w *Writer) flushLocked(how Flush) {
	start := how != Later && !w.busy && w.err == nil && w.readyLocked()
	w.busy = w.busy || start
	w.mu.Unlock()
	switch {
	case !start:
	case how == Self, how == Try && w.try != nil:
		w.write(how)
	default:
		go w.write(Other)
	}
}

// write writes a block of what is queued, or, as a goroutine of its own, until nothing is ready. busy is
// set on its behalf.
func (w *Writer) write(how Flush) {
	if w.load() > 2 {
		runtime.Gosched()
	}
	w.mu.Lock()
	for more := true; more && w.err == nil && w.readyLocked(); more = how == Other {
		b := w.takeLocked()
		w.mu.Unlock()
		n := 0
		if how == Try {
			if n = w.tryOut(b); n < len(b) {
				go w.finish(b, n)
				return
			}
		}
		w.writeOut(b[n:])
		recycle(b)
		w.mu.Lock()
		w.room.NextLocked()
	}
	w.doneLocked()
}

// finish writes the rest of a block of which n bytes have been written, and what is queued after it.
func (w *Writer) finish(b []byte, n int) {
	w.writeOut(b[n:])
	recycle(b)
	w.mu.Lock()
	w.room.NextLocked()
	w.doneLocked()
}

// doneLocked is called with mu held, by who has written, and returns without it.
func (w *Writer) doneLocked() {
	if w.err != nil {
		w.mu.Unlock()
		w.hangUp()
		return
	}
	w.busy = false
	w.flushLocked(Other)
}

// tryOut writes what the peer takes of b at once, and returns how much. It is called without mu.
func (w *Writer) tryOut(b []byte) int {
	n, err := w.try.WriteNow(b)
	w.count(n)
	if err != nil {
		w.failed(err)
	}
	return n
}

func (w *Writer) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += uint64(n)
}

// writeOut writes b in pieces, after each of which it is seen that the peer takes something. It is
// called without mu.
func (w *Writer) writeOut(b []byte) {
	for len(b) > 0 {
		n, err := w.nc.Write(b[:min(len(b), writePiece)])
		w.count(n)
		if err != nil {
			w.failed(err)
			return
		}
		b = b[n:]
	}
}

// takeLocked returns what to write next: what is urgent, a block of the queue, and a chunk of the
// message whose turn it is. It is called with mu held.
func (w *Writer) takeLocked() []byte {
	var b []byte
	if len(w.urgent) > 0 || len(w.blocks) == 0 {
		b = append(grow(nil, len(w.urgent)), w.urgent...)
		w.queued -= len(w.urgent)
		if w.urgent = w.urgent[:0]; cap(w.urgent) > smallBlock {
			w.urgent = nil
		}
	}
	if len(w.blocks) > 0 && len(b)+len(w.blocks[0]) <= blockSize {
		first := w.blocks[0]
		w.blocks = slices.Delete(w.blocks, 0, 1)
		w.taken++
		w.queued -= len(first)
		if len(b) == 0 {
			b = first
		} else {
			b = append(grow(b, len(first)), first...)
			recycle(first)
		}
	}
	if len(w.turns) > 0 && len(b) <= blockSize {
		b = w.takeChunkLocked(b)
	}
	return b
}

func (w *Writer) takeChunkLocked(b []byte) []byte {
	i := slices.IndexFunc(w.turns, func(o *Outgoing) bool { return o.after <= w.taken })
	if i < 0 {
		return b
	}
	o := w.turns[i]
	h, _ := o.next()
	if w.credit < h.Cost() {
		return b
	}
	w.turns = slices.Delete(w.turns, i, i+1)
	w.spendLocked(o, h.Cost())
	b = o.append(grow(b, int(wire.HeaderSize+h.Length)))
	if o.off == o.size() {
		o.finishLocked(nil)
		return b
	}
	if h, _ = o.next(); o.Flow.Credit >= h.Cost() {
		w.turns = append(w.turns, o)
	} else {
		o.Flow.stalled = o
		w.stalled[o] = struct{}{}
	}
	return b
}

// close gives up everything queued, and closes the connection once last has been sent.
func (w *Writer) close(err error, last []byte) {
	w.mu.Lock()
	if w.err != nil {
		w.mu.Unlock()
		return
	}
	w.err, w.last = err, last
	for _, o := range w.turns {
		o.finishLocked(err)
	}
	for o := range w.stalled {
		o.finishLocked(err)
	}
	w.turns, w.stalled, w.blocks, w.urgent, w.queued = nil, nil, nil, nil, 0
	w.room.NextLocked()
	busy := w.busy
	w.busy = true
	w.mu.Unlock()
	switch {
	case last == nil:
		w.cut()
	case busy: // whoever writes hangs up
		w.nc.SetWriteDeadline(time.Now().Add(farewellTime))
	default:
		go w.hangUp()
	}
}

// hangUp sends the farewell of a connection on which nobody else writes any more.
func (w *Writer) hangUp() {
	if w.last != nil {
		w.nc.SetWriteDeadline(time.Now().Add(farewellTime))
		w.nc.Write(w.last)
	}
	w.cut()
}

func (w *Writer) cut() {
	Cut(w.nc)
	w.once.Do(func() { close(w.closed) })
}
