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

	// lendFrom is how much of a message is written from where it lies: to copy less costs less than a second
	// piece in a write.
	lendFrom = 8 << 10

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

// trier is a connection that can be written to without waiting. WriteNow writes one after the other, and
// returns how much was written.
type trier interface {
	WriteNow(b, more []byte) (int, error)
}

// Writer sends the frames of one connection. Senders append them to its queue; one goroutine
// at a time, sometimes a sender, writes what everybody has appended (flat combining). Messages
// in chunks take turns, and whole frames overtake them between any two chunks.
//
// Invariants, whenever mu is free:
//   - queued is the number of bytes in urgent and blocks;
//   - if something can be written and err is nil, busy is set and somebody writes it, or somebody is about
//     to call Flush;
//   - a message that was sent and is not gone is in turns, or, if its call lacks credit for its next frame,
//     in stalled and in its Outflow, or lent;
//   - lent is being written from where it lies, by a write that does not wait, and is not gone meanwhile;
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
	lent    *Outgoing   // nil if there is none
	back    sync.Cond   // of lent, which has become nil
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
	w.back.L = &w.mu
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
	w.flushLocked(how, nil)
	return nil
}

// Flush writes what is queued, as far as the peer takes it at once, and has another goroutine write the
// rest.
func (w *Writer) Flush() {
	w.mu.Lock()
	w.flushLocked(Try, nil)
}

// SendControl queues a short frame, from any goroutine, also if there is no room. Far too many of
// them end the connection: the peer causes them, and does not read.
func (w *Writer) SendControl(b []byte) {
	w.mu.Lock()
	if w.overfullLocked() {
		return
	}
	w.enqueueLocked(b, nil)
	w.flushLocked(Other, nil)
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
	w.flushLocked(Try, nil) // where all processors are busy, another goroutine would come late
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

// SendMessage starts a long message. It may have left, wholly or in part, when SendMessage returns: this
// goroutine, if it writes, goes on until all of it has.
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
	case len(w.turns) == 0 && o.size() < lendFrom && w.credit >= cost && w.queued < w.limit:
		// A short element, and nobody before it: it may share a write with others.
		w.spendLocked(o, cost)
		var head [wire.HeaderSize]byte
		w.enqueueLocked(h.Append(head[:0]), o.Body)
		o.finishLocked(nil)
	default:
		w.turns = append(w.turns, o)
	}
	w.flushLocked(how, o)
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
	for w.lent == o {
		w.back.Wait()
	}
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
	w.flushLocked(Other, nil)
	return true
}

// readyLocked reports whether something can be written. It is called with mu held.
func (w *Writer) readyLocked() bool {
	return w.queued > 0 || w.turnLocked() >= 0
}

// turnLocked returns the index in turns of the message of which a frame may go next; -1 if there is none.
func (w *Writer) turnLocked() int {
	return slices.IndexFunc(w.turns, func(o *Outgoing) bool { return o.after <= w.taken && w.paidLocked(o) })
}

// paidLocked reports whether the connection has credit for the next frame of a message.
func (w *Writer) paidLocked(o *Outgoing) bool {
	h, _ := o.next()
	return h.Cost() <= w.credit
}

// goesOnLocked reports whether more of a message can be written.
func (w *Writer) goesOnLocked(o *Outgoing) bool {
	return o != nil && !o.gone && o.Flow.stalled != o && w.paidLocked(o)
}

// Progress reports whether something is being written or could be, and how many bytes have been.
func (w *Writer) Progress() (waiting bool, written uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err == nil && (w.busy || w.readyLocked()), w.bytes
}

// flushLocked makes sure that what is ready gets written. It is called with mu held and returns
// without it. A goroutine that writes itself goes on until its own message is done, if it has one.
func (w *Writer) flushLocked(how Flush, own *Outgoing) {
	start := how != Later && !w.busy && w.err == nil && w.readyLocked()
	w.busy = w.busy || start
	urgent := len(w.urgent) > 0
	w.mu.Unlock()
	switch {
	case !start:
	case how == Self, how == Try && w.try != nil:
		w.write(how, own, urgent)
	default:
		go w.write(Other, nil, urgent)
	}
}

// write writes a batch of what is queued, and others until its own message is done, or, as a goroutine
// whose only task that is, until nothing is ready. busy is set on its behalf. Unless something is urgent, it lets
// others go first who are about to append: where all processors are busy, its next turn would come late.
func (w *Writer) write(how Flush, own *Outgoing, urgent bool) {
	if !urgent && w.load() > 2 {
		runtime.Gosched()
	}
	w.mu.Lock()
	for more := true; more && w.err == nil && w.readyLocked(); more = how == Other || w.goesOnLocked(own) {
		b := w.takeLocked()
		w.mu.Unlock()
		block, n := w.tryOut(b)
		if how == Try && n < len(block) {
			go w.finish(block, n)
			return
		}
		w.writeOut(block[n:])
		recycle(block)
		w.mu.Lock()
		w.room.NextLocked()
	}
	w.doneLocked()
}

// finish writes the rest of a block of which n bytes have been written, and what is queued after it.
func (w *Writer) finish(block []byte, n int) {
	w.writeOut(block[n:])
	recycle(block)
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
	w.flushLocked(Other, nil)
}

// tryOut writes what the peer takes of a batch at once. It returns a block that has the rest, which begins
// after n bytes, and the message has its body back. It is called without mu.
func (w *Writer) tryOut(b batch) (block []byte, n int) {
	if w.try == nil {
		return b.block, 0
	}
	written, err := w.try.WriteNow(b.block, b.body)
	n = written
	if over := written - len(b.block); over >= 0 {
		rest := b.body[over:]
		block, n = append(grow(b.block[:0], len(rest)), rest...), 0
	} else {
		block = append(grow(b.block, len(b.body)), b.body...)
	}
	w.mu.Lock()
	w.bytes += uint64(written)
	if o := w.lent; o != nil {
		w.lent = nil
		w.back.Broadcast()
		w.goOnLocked(o)
	}
	w.mu.Unlock()
	if err != nil {
		w.failed(err)
	}
	return block, n
}

// writeOut writes b in pieces, after each of which it is seen that the peer takes something. It is
// called without mu.
func (w *Writer) writeOut(b []byte) {
	for len(b) > 0 {
		n, err := w.nc.Write(b[:min(len(b), writePiece)])
		w.mu.Lock()
		w.bytes += uint64(n)
		w.mu.Unlock()
		if err != nil {
			w.failed(err)
			return
		}
		b = b[n:]
	}
}

// batch is what is written at a time.
type batch struct {
	block []byte // what is urgent, and frames
	body  []byte // what follows of the message that is lent
}

// takeLocked returns what to write next: what is urgent, a block of the queue, and a frame of the
// message whose turn it is. It is called with mu held.
func (w *Writer) takeLocked() (b batch) {
	if len(w.urgent) > 0 || len(w.blocks) == 0 {
		b.block = append(grow(nil, len(w.urgent)), w.urgent...)
		w.queued -= len(w.urgent)
		if w.urgent = w.urgent[:0]; cap(w.urgent) > smallBlock {
			w.urgent = nil
		}
	}
	if len(w.blocks) > 0 && len(b.block)+len(w.blocks[0]) <= blockSize {
		first := w.blocks[0]
		w.blocks = slices.Delete(w.blocks, 0, 1)
		w.taken++
		w.queued -= len(first)
		if len(b.block) == 0 {
			b.block = first
		} else {
			b.block = append(grow(b.block, len(first)), first...)
			recycle(first)
		}
	}
	if i := w.turnLocked(); i >= 0 && len(b.block) <= blockSize {
		w.takeFrameLocked(&b, i)
	}
	return b
}

// takeFrameLocked adds a frame of the message with an index in turns.
func (w *Writer) takeFrameLocked(b *batch, i int) {
	o := w.turns[i]
	w.turns = slices.Delete(w.turns, i, i+1)
	h, _ := o.next()
	w.spendLocked(o, h.Cost())
	block, body := o.append(grow(b.block, wire.HeaderSize+8+len(o.Head)))
	if w.try != nil && len(body) >= lendFrom {
		w.lent, b.block, b.body = o, block, body
		return
	}
	b.block = append(grow(block, len(body)), body...)
	w.goOnLocked(o)
}

// goOnLocked is called when a frame of a message has been taken and copied or written.
func (w *Writer) goOnLocked(o *Outgoing) {
	switch h, _ := o.next(); {
	case o.off == o.size():
		o.finishLocked(nil)
	case w.err != nil:
		o.finishLocked(w.err)
	case o.Flow.Credit >= h.Cost():
		w.turns = append(w.turns, o)
	default:
		o.Flow.stalled = o
		w.stalled[o] = struct{}{}
	}
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
	for w.lent != nil { // its owner is about to be told
		w.back.Wait()
	}
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
