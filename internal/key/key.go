// Package key has the names in a nursery that are taken, each with the call that has taken it, and what is being started.
package key

import (
	"context"
	"fmt"
	"sync"

	"github.com/divisi-go/divisi/internal/name"
)

// Ring has the keys of a nursery. It is safe for concurrent use.
type Ring struct {
	path string
	life context.Context // of the nursery

	mu    sync.Mutex        // guards what follows
	keys  map[string]string // where each was reserved
	begun map[string]string // what is being started, and where that was asked for
}

// NewRing returns the keys of a nursery with a path, whose end its context has.
func NewRing(life context.Context, path string) *Ring {
	return &Ring{path: path, life: life, keys: map[string]string{}, begun: map[string]string{}}
}

// Reserve gives a name to what is about to be there, or says why it cannot be.
func (r *Ring) Reserve(key, label, site string) error {
	if err := name.CheckLabel(label); err != nil {
		return fmt.Errorf("%s (%s): %w", key, site, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.life.Err() != nil {
		return fmt.Errorf("cannot start %s (%s): the nursery %s has ended: %w", key, site, r.path, context.Cause(r.life))
	}
	if other, ok := r.keys[key]; ok {
		return fmt.Errorf("%s is in the nursery %s twice: at %s and at %s; give one another name, or start it in a nursery of its own",
			key, r.path, other, site)
	}
	r.keys[key] = site
	return nil
}

// Release gives a name back of what could not be started.
func (r *Ring) Release(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, key)
}

// Begin takes note of what is being started, until the function that it returns is called.
func (r *Ring) Begin(key, site string) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun[key] = site
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.begun, key)
	}
}

// Unfinished says what is still being started when the function that starts it has returned.
func (r *Ring) Unfinished() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, site := range r.begun {
		return fmt.Errorf("the start of %s has returned before %s (%s) was ready: wait for it", r.path, key, site)
	}
	return nil
}
