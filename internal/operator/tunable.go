package operator

import (
	"reflect"
	"sync"
)

// Tunable is a value that may be set while the program runs, and stays so when it runs again:
//
//	divisi do PROGRAM values
//	divisi do PROGRAM set NAME VALUE
type Tunable[T any] struct {
	mu      sync.Mutex // guards what follows
	value   T
	changed chan struct{} // closed at the next change
}

// Tune declares a value that may be set at a desk, as [Desk.Knob] does.
func Tune[T any](d *Desk, name, site string, value T, check func(T) error) (
	t *Tunable[T], forget func(), refused error, err error) {
	t = &Tunable[T]{value: value, changed: make(chan struct{})}
	show := func() string {
		now := t.Get()
		return Show(reflect.ValueOf(&now).Elem())
	}
	forget, refused, err = d.Knob(name, site, reflect.TypeFor[T](), show, Take(check, t.set))
	return t, forget, refused, err
}

// Get returns the value as it is now.
func (t *Tunable[T]) Get() T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value
}

// Changed returns a channel that is closed when the value is set next. Whoever waits for it asks for it
// before the value:
//
//	for {
//		changed := limit.Changed()
//		use(limit.Get())
//		<-changed
//	}
func (t *Tunable[T]) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *Tunable[T]) set(value T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value = value
	close(t.changed)
	t.changed = make(chan struct{})
}
