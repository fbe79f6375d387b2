package discover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Source has the data that a [Value] follows.
//
// Get returns what there is now: at once if after is empty, otherwise as soon as there is something else than
// what had that version, or after a while of the source's own choice, a minute or so, with the version that it
// was asked with. It returns when ctx ends. Get is called by one goroutine at a time for each Value.
//
// A source that has a method String is called that in logs.
type Source interface {
	Get(ctx context.Context, after Version) (Data, error)
}

// Version says which data a source has returned. Only the source knows what it means; two versions of one
// source are equal if the data is the same. The empty version is that of data without one: its source is asked
// again as soon as the pace allows.
type Version string

// Data is what a source has at some time.
type Data struct {
	Version Version
	// Entries are one for a key, any number for a folder, and none for what is not there. They are in the
	// order of their keys.
	Entries []Entry
	// Stale is how old the data may be, where the source knows.
	Stale time.Duration
}

// Entry is a key with its value.
type Entry struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// equal tells whether two lists of entries are the same, byte by byte.
func equal(a, b []Entry) bool {
	return slices.EqualFunc(a, b, func(x, y Entry) bool {
		return x.Key == y.Key && string(x.Value) == string(y.Value)
	})
}

// SourceError is the error of a source that knows when to ask again.
type SourceError struct {
	Err error
	// Permanent is true where the same request will fail in the same way, until somebody changes something: a
	// token without the right, an address where something else answers. It is repeated rarely.
	Permanent bool
	// RetryAfter is when the source wants to be asked again, at the earliest.
	RetryAfter time.Duration
}

func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *SourceError) Unwrap() error { return e.Err }

// wait is how long a source lets a request wait for a change, unless it is told.
const wait = time.Minute

// maxData is how many bytes a source reads at most.
const maxData = 4 << 20

// Fixed is a source of one entry that never changes.
type Fixed string

var _ Source = Fixed("")

// Get returns the entry.
func (f Fixed) Get(ctx context.Context, after Version) (Data, error) {
	if after != "" {
		err := sleep(ctx, wait)
		if err != nil {
			return Data{}, err
		}
	}
	return Data{Version: "fixed", Entries: []Entry{{Value: []byte(f)}}}, nil
}

func (Fixed) String() string { return "fixed" }

// Poller is a source that knows nothing of versions: a function that returns what there is, at once, or when
// it has changed. discover.Poller(p.Poll) makes a source of what has the method Poll of configstate.
type Poller func(ctx context.Context) ([]byte, error)

var _ Source = Poller(nil)

// Get calls p.
func (p Poller) Get(ctx context.Context, _ Version) (Data, error) {
	value, err := p(ctx)
	if err != nil {
		return Data{}, err
	}
	return Data{Entries: []Entry{{Value: value}}}, nil
}

func (Poller) String() string { return "poller" }

// FirstOf is a source that asks others in their order, and has what the first one has that answers. The first
// one is asked first each time, so its data is back soon after it is.
type FirstOf []Source

var _ Source = FirstOf(nil)

// Get returns what the first source that answers has, or the errors of all.
func (f FirstOf) Get(ctx context.Context, after Version) (Data, error) {
	if len(f) == 0 {
		return Data{}, &SourceError{Err: errors.New("there is no source to ask"), Permanent: true}
	}

	of, version, _ := strings.Cut(string(after), "/")
	var failed []error
	for i, source := range f {
		number := strconv.Itoa(i)
		var seen Version
		if number == of {
			seen = Version(version)
		}

		data, err := source.Get(ctx, seen)
		switch {
		case err == nil && data.Version == "":
			return data, nil
		case err == nil:
			data.Version = Version(number + "/" + string(data.Version))
			return data, nil
		case ctx.Err() != nil:
			return Data{}, ctx.Err()
		}
		failed = append(failed, fmt.Errorf("%s: %w", called(source), err))
	}
	return Data{}, errors.Join(failed...)
}

func (f FirstOf) String() string {
	names := make([]string, len(f))
	for i, source := range f {
		names[i] = called(source)
	}
	return strings.Join(names, ", or ")
}

// called returns what a source is called.
func called(s Source) string {
	if named, ok := s.(fmt.Stringer); ok {
		return named.String()
	}
	return fmt.Sprintf("%T", s)
}

// sleep returns after some time, or with ctx's error when ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
