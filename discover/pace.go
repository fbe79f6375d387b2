package discover

import (
	"errors"
	"time"
)

const (
	burst        = 3           // requests that follow each other at once
	every        = time.Second // between requests beyond those
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 30 * time.Second
)

// pace says when a source may be asked again: it is a bucket of tokens, as GCRA counts them. It has no clock
// of its own. The zero value is a full bucket.
//
// A source whose answers take as long as nothing changes is never kept waiting by it. One that answers at
// once, for it is broken or its data changes all the time, is asked once a second.
type pace struct {
	full time.Time // when the bucket is full again
}

// take takes a token, and returns how long to wait for it.
func (p *pace) take(now time.Time) time.Duration {
	if p.full.Before(now) {
		p.full = now
	}
	delay := max(0, p.full.Sub(now)-(burst-1)*every)
	p.full = p.full.Add(every)
	return delay
}

// backoff returns how long to wait after a number of failures in a row, of which err is the last one. random is
// in [0, 1). Each client waits for a random part of a time that doubles ("full jitter", Marc Brooker), so that
// those that failed together do not return together.
func backoff(failures int, err error, random float64) time.Duration {
	longest := min(maxBackoff, firstBackoff<<min(failures-1, 20))

	var told *SourceError
	switch {
	case !errors.As(err, &told):
	case told.RetryAfter > 0:
		return told.RetryAfter + time.Duration(random*float64(longest))
	case told.Permanent:
		return maxBackoff/2 + time.Duration(random*float64(maxBackoff/2))
	}
	return time.Duration(random * float64(longest))
}
