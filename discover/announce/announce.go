// Package announce has a store say that something is there, for as long as it is, so that others find it with package discover.
//
//	resizer := &announce.Announcement{
//		To:    announce.Etcd{},
//		Key:   "resizers/" + id,
//		Value: []byte(`{"address":"10.0.0.7:8080","weight":4}`),
//	}
//	err := serve.Run(ctx, serve.Server(l, handler), resizer)
//
// As the last member of a program it begins when the others are ready, and ends before them. When the process is killed, the store forgets
// what it has said after the time TTL, and after twice that in Consul.
package announce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Store keeps what is announced under leases.
type Store interface {
	// Announce has a value under a key for a time to live, which begins anew each time that the lease is renewed.
	Announce(ctx context.Context, key string, value []byte, ttl time.Duration) (Lease, error)
}

// Lease is for how long a value is there.
type Lease interface {
	// Renew begins the time to live anew. The error is ErrLost if the store has forgotten the lease.
	Renew(ctx context.Context) error
	// End has the store forget lease and value at once.
	End(ctx context.Context) error
}

var (
	// ErrLost is the error of a lease that its store has forgotten.
	ErrLost = errors.New("the store has forgotten the lease")
	// ErrServed is returned by [Announcement.Serve] while another call of it runs.
	ErrServed = errors.New("it is announced already")
)

const (
	defaultTTL = 10 * time.Second
	endTime    = 2 * time.Second // to take an announcement back; else it is forgotten by itself
	firstPause = 100 * time.Millisecond
)

// Announcement is a value under a key, as long as [Announcement.Serve] runs. Its fields are set before that.
type Announcement struct {
	To    Store  // must be set
	Key   string // must be set
	Value []byte
	TTL   time.Duration // 10 s by default

	// OnError is called with each failure, after which it goes on; nil for nobody.
	OnError func(error)

	once    sync.Once
	ready   chan struct{} // closed when the store has it for the first time
	serving sync.Mutex
}

// Serve announces until ctx ends, and takes it back then, for two seconds at most. A store that does not answer, or has forgotten the
// lease, is asked again and again, after a random part of a time that doubles up to TTL. The error is nil but for ErrServed.
func (a *Announcement) Serve(ctx context.Context) error {
	if !a.serving.TryLock() {
		return ErrServed
	}
	defer a.serving.Unlock()
	ttl := cmp.Or(a.TTL, defaultTTL)
	for failures := 0; ctx.Err() == nil; failures++ {
		lease, err := a.announce(ctx, ttl)
		if err == nil {
			a.begun()
			failures = 0
			err = a.keep(ctx, lease, ttl)
		}
		if ctx.Err() == nil {
			a.failed(err)
			sleep(ctx, time.Duration(rand.Float64()*float64(min(ttl, firstPause<<min(failures, 20)))))
		}
	}
	return nil
}

func (a *Announcement) announce(ctx context.Context, ttl time.Duration) (Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, ttl)
	defer cancel()
	lease, err := a.To.Announce(ctx, a.Key, a.Value, ttl)
	if err != nil {
		return nil, fmt.Errorf("cannot announce %s: %w", a.Key, err)
	}
	return lease, nil
}

// keep renews a lease until it is lost, or cannot be renewed for as long as it lives, or ctx ends: then it ends the lease.
func (a *Announcement) keep(ctx context.Context, lease Lease, ttl time.Duration) error {
	renewed := time.Now()
	for sleep(ctx, ttl/3) {
		begun := time.Now()
		one, cancel := context.WithTimeout(ctx, ttl/3)
		err := lease.Renew(one)
		cancel()
		switch {
		case err == nil:
			renewed = begun
		case ctx.Err() != nil:
		case errors.Is(err, ErrLost) || time.Since(renewed) > ttl:
			return fmt.Errorf("the announcement of %s is lost: %w", a.Key, err)
		default:
			a.failed(fmt.Errorf("cannot renew the announcement of %s: %w", a.Key, err))
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	err := lease.End(last)
	if err != nil {
		a.failed(fmt.Errorf("cannot take the announcement of %s back: %w", a.Key, err))
	}
	return nil
}

func (a *Announcement) failed(err error) {
	if a.OnError != nil {
		a.OnError(err)
	}
}

func (a *Announcement) first() chan struct{} {
	a.once.Do(func() { a.ready = make(chan struct{}) })
	return a.ready
}

// begun says that the store has it; Serve is what calls it, so nobody else closes the channel.
func (a *Announcement) begun() {
	ready := a.first()
	select {
	case <-ready:
	default:
		close(ready)
	}
}

// Ready returns when the store has what is announced for the first time.
func (a *Announcement) Ready(ctx context.Context) error {
	select {
	case <-a.first():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sleep returns false if ctx ends before the time is over.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
