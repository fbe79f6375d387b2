package trace

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// The ends of the range of Options.Every.
const (
	Always time.Duration = 1
	Never  time.Duration = -1
)

// exportGrace is how long the last export may take once Serve has been told to end: long enough
// for a collector on another machine, short enough for a process that wants to exit.
const exportGrace = 3 * time.Second

// Options configure a Recorder. The zero value records nothing.
type Options struct {
	// Export keeps a batch of finished spans. It is called by Serve, one batch at a time, and
	// the batch is its own. The spans of a batch that it returns an error for count as dropped.
	// Without it spans are not recorded, and the ids of callers are passed on as they are.
	Export func(ctx context.Context, spans []*Span) error

	// Every is the least time between two traces that begin here and are recorded; a trace that
	// began elsewhere is recorded if it was there. Zero is one second; Always and Never.
	Every time.Duration

	// Sample takes the place of Every if it is not nil.
	Sample func(TraceID) bool

	Queue int           // finished spans that may wait for Serve; zero is 2048
	Batch int           // most spans in a batch; zero is 512
	Flush time.Duration // longest wait for a batch to fill; zero is 5 s

	// Rand returns the randomness for ids; nil is that of math/rand/v2, which suffices because
	// ids are no secrets. It is called concurrently.
	Rand func() uint64

	// From and Into join the spans with those of another library that uses the same contexts.
	// Into makes each new current span also the library's; From returns the library's, so that
	// it is the parent of ours if it was started later.
	From func(ctx context.Context) (SpanContext, bool)
	Into func(ctx context.Context, current SpanContext) context.Context
}

// Recorder starts spans and collects the finished ones. A nil Recorder records nothing.
type Recorder struct {
	options  Options
	finished chan *Span
	dropped  atomic.Uint64
	epoch    time.Time    // what next counts from, so that it follows the monotonic clock
	next     atomic.Int64 // nanoseconds since epoch before which no root is sampled
}

// NewRecorder returns a Recorder that exports as long as its Serve runs.
func NewRecorder(o Options) *Recorder {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Queue <= 0 {
		o.Queue = 2048
	}
	if o.Batch <= 0 {
		o.Batch = 512
	}
	if o.Flush <= 0 {
		o.Flush = 5 * time.Second
	}
	if o.Rand == nil {
		o.Rand = rand.Uint64
	}
	return &Recorder{options: o, finished: make(chan *Span, o.Queue), epoch: time.Now()}
}

// NewContext returns a context in which Start uses r and begins below parent, the span of the
// caller in another process; a zero parent begins a new trace.
func (r *Recorder) NewContext(ctx context.Context, parent SpanContext) context.Context {
	return r.Carry(new(Carrier), ctx, parent)
}

// Carry is NewContext with a Carrier that the caller has room for, which becomes the context.
func (r *Recorder) Carry(c *Carrier, ctx context.Context, parent SpanContext) context.Context {
	if r == nil {
		return ctx
	}
	return r.carry(c, ctx, parent)
}

// Start starts a span below the current span of ctx, or a new trace, and returns a context in
// which it is the current one. The span is nil if the trace is not sampled.
func (r *Recorder) Start(ctx context.Context, name string, kind Kind) (context.Context, *Span) {
	if r == nil || r.options.Export == nil {
		return ctx, nil
	}
	parent := r.parent(ctx)
	child, span := r.begin(parent, name, kind, time.Time{})
	if child != parent {
		ctx = r.carry(new(Carrier), ctx, child)
	}
	return ctx, span
}

// StartCall starts the span of a call to another process. It returns what that process is to be told,
// instead of a context: nothing else happens here below the span. It is told what the clock says.
func (r *Recorder) StartCall(ctx context.Context, name string, now time.Time) (SpanContext, *Span) {
	if r == nil || r.options.Export == nil {
		return FromContext(ctx), nil
	}
	return r.begin(r.parent(ctx), name, Client, now)
}

// begin returns the context of a span below parent, and the span itself if it is recorded. Below one that
// is not recorded there is none. If now is zero, the clock is read where that is needed.
func (r *Recorder) begin(parent SpanContext, name string, kind Kind, now time.Time) (SpanContext, *Span) {
	if parent.Valid() && !parent.Sampled() {
		return parent, nil
	}
	if now.IsZero() {
		now = time.Now()
	}

	child := parent
	if !parent.Valid() {
		parent, child = SpanContext{}, SpanContext{}
		// A trace that is not sampled gets an id too: it tells those who are called that the
		// choice has been made, and log lines which of them belong together.
		child.TraceID = r.newTraceID()
		if r.sample(child.TraceID, now) {
			child.Flags = Sampled
		}
	}
	child.SpanID = r.newSpanID()
	if !child.Sampled() {
		return child, nil
	}
	return child, &Span{
		TraceID: child.TraceID, SpanID: child.SpanID, Parent: parent.SpanID,
		Name: name, Kind: kind, Start: now, recorder: r,
	}
}

func (r *Recorder) parent(ctx context.Context) SpanContext {
	if r.options.From != nil {
		if sc, ok := r.options.From(ctx); ok && sc.Valid() {
			return sc
		}
	}
	return FromContext(ctx)
}

func (r *Recorder) carry(c *Carrier, ctx context.Context, current SpanContext) context.Context {
	if r.options.Into != nil && current.Valid() {
		ctx = r.options.Into(ctx, current)
	}
	*c = Carrier{Context: ctx, recorder: r, current: current}
	return c
}

// sample decides about a root. Of several at the same time one gets the slot.
func (r *Recorder) sample(id TraceID, at time.Time) bool {
	switch {
	case r.options.Sample != nil:
		return r.options.Sample(id)
	case r.options.Every < 0:
		return false
	case r.options.Every == Always:
		return true
	}
	now, next := int64(at.Sub(r.epoch)), r.next.Load()
	return now >= next && r.next.CompareAndSwap(next, now+int64(r.options.Every))
}

func (r *Recorder) newTraceID() (id TraceID) {
	for id == (TraceID{}) {
		binary.BigEndian.PutUint64(id[:8], r.options.Rand())
		binary.BigEndian.PutUint64(id[8:], r.options.Rand())
	}
	return id
}

func (r *Recorder) newSpanID() (id SpanID) {
	for id == (SpanID{}) {
		binary.BigEndian.PutUint64(id[:], r.options.Rand())
	}
	return id
}

// Dropped returns how many finished spans were lost since the start, because the queue was full
// or Export failed.
func (r *Recorder) Dropped() uint64 {
	if r == nil {
		return 0
	}
	return r.dropped.Load()
}

// Serve exports finished spans until ctx ends, and once more then, and returns nil. Spans that
// finish while it does not run wait in the queue.
func (r *Recorder) Serve(ctx context.Context) error {
	if r == nil || r.options.Export == nil {
		<-ctx.Done()
		return nil
	}
	due := time.NewTimer(r.options.Flush) // armed while a batch is begun
	defer due.Stop()
	var batch []*Span
	for {
		select {
		case s := <-r.finished:
			if len(batch) == 0 {
				due.Reset(r.options.Flush)
			}
			if batch = append(batch, s); len(batch) < r.options.Batch {
				continue
			}
		case <-due.C:
		case <-ctx.Done():
			r.last(ctx, batch)
			return nil
		}
		r.export(ctx, batch)
		batch = nil
		due.Stop()
	}
}

// last exports what finished before the end.
func (r *Recorder) last(ctx context.Context, batch []*Span) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportGrace)
	defer cancel()
	for range len(r.finished) {
		batch = append(batch, <-r.finished)
		if len(batch) == r.options.Batch {
			r.export(ctx, batch)
			batch = nil
		}
	}
	r.export(ctx, batch)
}

func (r *Recorder) export(ctx context.Context, batch []*Span) {
	if len(batch) == 0 {
		return
	}
	if err := r.options.Export(ctx, batch); err != nil {
		r.dropped.Add(uint64(len(batch)))
	}
}
