package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// ErrServed is returned by [Value.Serve] while another call of it runs.
var ErrServed = errors.New("the value is served already")

// Value is a value that follows a [Source]. Its fields are set before [Value.Serve] is called, and left alone
// from then on. Whoever wants the value in several places shares a pointer: however many readers there are,
// the source is asked once.
type Value[T any] struct {
	// Source has the data. It must be set.
	Source Source

	// Name is what events, metrics and errors call the value. If it is empty, they call it like its source.
	Name string

	// Decode makes a value of data. If it is nil, [JSON] does.
	Decode Decoder[T]

	// Validate looks at a value before it is adopted, beside the one that is there, which is the zero value
	// before the first one. With an error the value is refused. If it is nil, every value is good.
	Validate func(before, after T) error

	// Default is adopted when the source says that there is nothing, and when it does not answer before
	// there is any value. If it is nil, what there was last stays, and nothing is adopted.
	Default *T

	// Cache is the path of a file that keeps the newest data that was adopted. It is read when the source
	// does not answer and there is no value yet. If it is empty, there is none.
	Cache string

	// MaxAge is how long the source may be silent before [Value.Health] says so. It should be longer than
	// the source lets a request wait. Zero is any time.
	MaxAge time.Duration

	// OnEvent is called with each event, by the goroutine of Serve; see [Log].
	OnEvent func(Event)

	serving atomic.Bool
	current atomic.Pointer[adoption[T]]

	mu     sync.Mutex
	status Status
}

// Snapshot is a value that was adopted. It never changes, and its readers must not change what it refers to.
type Snapshot[T any] struct {
	Value   T
	Version Version
	Origin  Origin
	Adopted time.Time
}

// Origin says where a value comes from.
type Origin string

// The places where a value comes from.
const (
	Live      Origin = "live"    // the source
	FromCache Origin = "cache"   // the file Value.Cache
	IsDefault Origin = "default" // Value.Default
)

// Status is how a [Value] is.
type Status struct {
	Adopted  Version       // of what [Value.Load] returns
	Origin   Origin        // of the same
	Contact  time.Time     // when the source last answered, less how old its data may have been
	Failures int           // requests that have failed since then
	Failure  error         // why the last request failed; nil if it did not
	Refusal  error         // why the newest data was not adopted; nil if it was
	Limited  time.Duration // how long the limit has made requests wait, in all
}

// adoption is what a Value has at some time: a snapshot, nil at first, and a channel that is closed when
// another adoption has taken its place.
type adoption[T any] struct {
	snapshot *Snapshot[T]
	replaced chan struct{}
}

// Load returns the newest snapshot, or nil if there is none yet. It costs no more than reading a pointer.
func (v *Value[T]) Load() *Snapshot[T] {
	a := v.current.Load()
	if a == nil {
		return nil
	}
	return a.snapshot
}

// now returns the adoption of the moment.
func (v *Value[T]) now() *adoption[T] {
	a := v.current.Load()
	if a != nil {
		return a
	}
	v.current.CompareAndSwap(nil, &adoption[T]{replaced: make(chan struct{})})
	return v.current.Load()
}

// Ready returns when there is a value: from the source, from the cache, or by default. When ctx ends before,
// its error says what has failed so far.
func (v *Value[T]) Ready(ctx context.Context) error {
	for {
		a := v.now()
		if a.snapshot != nil {
			return nil
		}

		select {
		case <-a.replaced:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", v.Health(), context.Cause(ctx))
		}
	}
}

// Watch returns the newest snapshot, if there is one, and each that follows, until ctx ends. Who is slow misses
// some, and has the newest one in the end.
func (v *Value[T]) Watch(ctx context.Context) iter.Seq[*Snapshot[T]] {
	return func(yield func(*Snapshot[T]) bool) {
		for ctx.Err() == nil {
			a := v.now()
			if a.snapshot != nil && !yield(a.snapshot) {
				return
			}

			select {
			case <-a.replaced:
			case <-ctx.Done():
			}
		}
	}
}

// Status returns how the value is.
func (v *Value[T]) Status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.status
}

// Health returns nil while the value is what its source has. Otherwise the error says that there is none yet,
// that the newest data was not adopted, or that the source has not answered for longer than MaxAge.
func (v *Value[T]) Health() error {
	s := v.Status()
	age := time.Since(s.Contact).Round(time.Second)
	why := cmp.Or(s.Refusal, s.Failure, errSilent)
	switch {
	case v.Load() == nil:
		return fmt.Errorf("%s has no value yet: %w", v.name(), why)
	case s.Refusal != nil:
		return fmt.Errorf("%s has kept an older value: %w", v.name(), why)
	case v.MaxAge > 0 && s.Contact.IsZero():
		return fmt.Errorf("%s may be out of date, since its source has not answered yet: %w", v.name(), why)
	case v.MaxAge > 0 && age > v.MaxAge:
		return fmt.Errorf("%s may be out of date, since its source last answered %v ago: %w", v.name(), age, why)
	}
	return nil
}

var errSilent = errors.New("the source does not answer")

// name returns what the value is called.
func (v *Value[T]) name() string {
	if v.Name != "" {
		return v.Name
	}
	return called(v.Source)
}

// Serve follows the source until ctx ends, and returns nil then, whatever it waits for. It runs once at a time.
func (v *Value[T]) Serve(ctx context.Context) error {
	if !v.serving.CompareAndSwap(false, true) {
		return ErrServed
	}
	defer v.serving.Store(false)

	w := worker[T]{v: v}
	w.say(Event{Kind: Starting})
	for w.turn(ctx) == nil {
		w.ask(ctx)
	}
	w.say(Event{Kind: Ending})
	w.say(Event{Kind: Ended})
	return nil
}

// worker is what Serve knows from one request to the next.
//
//   - seen and judged are the version and the entries of the newest answer, adopted or not.
//   - delay is what the last failure costs before the next request.
type worker[T any] struct {
	v      *Value[T]
	pace   pace
	delay  time.Duration
	seen   Version
	judged []Entry
	known  bool // there was an answer
}

// turn waits until the source may be asked.
func (w *worker[T]) turn(ctx context.Context) error {
	err := sleep(ctx, w.delay)
	if err != nil {
		return err
	}

	limit := w.pace.take(time.Now())
	if limit == 0 {
		return nil
	}
	w.say(Event{Kind: Limited, Delay: limit})
	w.record(func(s *Status) { s.Limited += limit })
	return sleep(ctx, limit)
}

// ask asks the source once, and does what its answer wants.
func (w *worker[T]) ask(ctx context.Context) {
	w.say(Event{Kind: Asking, Version: w.seen})
	data, err := w.v.Source.Get(ctx, w.seen)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.failed(err)
	default:
		w.answered(data)
	}
}

// failed notes that a request has failed. Where there is no value yet, the cache or the default stands in.
func (w *worker[T]) failed(err error) {
	failures := 0
	w.record(func(s *Status) {
		s.Failures++
		s.Failure = err
		failures = s.Failures
	})
	w.delay = backoff(failures, err, rand.Float64())
	w.say(Event{Kind: Failing, Err: err, Delay: w.delay})

	if w.v.Load() == nil {
		w.standIn()
	}
}

// standIn adopts what the cache has, or the default.
func (w *worker[T]) standIn() {
	if w.v.Cache != "" {
		err := w.recall()
		if err == nil {
			return
		}
		w.say(Event{Kind: CacheLost, Err: err})
	}
	if w.v.Default != nil {
		w.adopt(*w.v.Default, "", IsDefault)
	}
}

// recall adopts what the cache has.
func (w *worker[T]) recall() error {
	data, written, err := readCache(w.v.Cache, called(w.v.Source))
	if err != nil {
		return err
	}
	value, err := w.judge(data)
	if err != nil && !partial(err) {
		return err
	}
	w.record(func(s *Status) { s.Contact = written })
	w.adopt(value, data.Version, FromCache)
	return nil
}

// answered takes an answer of the source. One that says nothing new still shows that the source is there.
func (w *worker[T]) answered(data Data) {
	w.delay = 0
	w.record(func(s *Status) {
		s.Contact = time.Now().Add(-data.Stale)
		s.Failures, s.Failure = 0, nil
	})
	w.say(Event{Kind: Answered, Version: data.Version})

	same := data.Version != "" && data.Version == w.seen
	w.seen = data.Version
	if same || w.known && equal(data.Entries, w.judged) {
		return
	}
	w.judged, w.known = data.Entries, true

	value, err := w.judge(data)
	absent := errors.Is(err, ErrAbsent)
	switch {
	case err == nil || partial(err):
		w.refuse(data.Version, err)
		w.adopt(value, data.Version, Live)
		w.remember(data)
	case absent && w.v.Default != nil:
		w.refuse(data.Version, nil)
		w.adopt(*w.v.Default, data.Version, IsDefault)
	default:
		w.refuse(data.Version, err)
	}
}

// refuse notes why the newest data, or a part of it, is not adopted; err is nil if it is.
func (w *worker[T]) refuse(version Version, err error) {
	w.record(func(s *Status) { s.Refusal = err })
	if err != nil {
		w.say(Event{Kind: Refusing, Version: version, Err: err})
	}
}

// remember writes data to the cache.
func (w *worker[T]) remember(data Data) {
	if w.v.Cache == "" {
		return
	}
	err := writeCache(w.v.Cache, called(w.v.Source), data, time.Now())
	if err != nil {
		w.say(Event{Kind: CacheLost, Err: err})
	}
}

// judge decodes data and validates the value. The value is good if the error is nil or a [Partial].
func (w *worker[T]) judge(data Data) (T, error) {
	decode := w.v.Decode
	if decode == nil {
		decode = JSON[T]
	}

	var before T
	if s := w.v.Load(); s != nil {
		before = s.Value
	}
	value, err := decode(data, before)
	if err != nil && !partial(err) || w.v.Validate == nil {
		return value, err
	}
	return value, cmp.Or(w.v.Validate(before, value), err)
}

// adopt makes a value that of all readers. They are not told of one that is equal to what they have.
func (w *worker[T]) adopt(value T, version Version, origin Origin) {
	w.record(func(s *Status) { s.Adopted, s.Origin = version, origin })
	last := w.v.now()
	if last.snapshot != nil && last.snapshot.Origin == origin && reflect.DeepEqual(last.snapshot.Value, value) {
		return
	}

	w.say(Event{Kind: Adopting, Version: version, Origin: origin})
	w.v.current.Store(&adoption[T]{
		snapshot: &Snapshot[T]{Value: value, Version: version, Origin: origin, Adopted: time.Now()},
		replaced: make(chan struct{}),
	})
	close(last.replaced)
}

// record changes the status.
func (w *worker[T]) record(change func(*Status)) {
	w.v.mu.Lock()
	defer w.v.mu.Unlock()
	change(&w.v.status)
}

// say tells of an event.
func (w *worker[T]) say(e Event) {
	e.Name = w.v.name()
	count(e)
	if w.v.OnEvent != nil {
		w.v.OnEvent(e)
	}
}
