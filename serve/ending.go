package serve

import (
	"context"
	"sync"
	"time"
)

// Ending returns a context for what a member does at its end. It has the values of ctx, which is the
// member's and has ended, and ends when the member must have returned. Without [Run] that is after 30
// seconds.
func Ending(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline := time.Now().Add(defaultLimit)
	if t, ok := ctx.Value(endTimeKey{}).(*endTime); ok {
		deadline = t.deadline(time.Now())
	}
	return context.WithDeadline(context.WithoutCancel(ctx), deadline)
}

// endTimeKey is the key of an [endTime] in the contexts of members.
type endTimeKey struct{}

// endTime is the time that members have to end.
type endTime struct {
	limit time.Duration

	mu    sync.Mutex // guards what follows
	turns time.Time  // until when they end one after the other
	over  time.Time
}

// begin begins the end. It returns what is closed when members no longer end one after the other, and
// when time is over.
func (t *endTime) begin(now time.Time) (turns, over <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = now.Add(t.limit)
	t.turns = t.over.Add(-t.limit / 10)
	return at(now, t.turns), at(now, t.over)
}

// at returns what is closed at a time.
func at(now, then time.Time) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(then.Sub(now), func() { close(c) })
	return c
}

// deadline returns when a member must have returned whose end begins now.
func (t *endTime) deadline(now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over.IsZero():
		return now.Add(t.limit)
	case now.Before(t.turns):
		return t.turns
	}
	return t.over
}
