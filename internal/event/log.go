package event

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxEvents bounds what a log remembers.
const maxEvents = 1000

// Log remembers the latest events of an application. Whoever adds one never waits for those who
// follow: a terminal that stands still, a full pipe or a slow disk misses events, and delays
// nothing. The zero value has none. It is safe for concurrent use.
type Log struct {
	mu    sync.Mutex // guards what follows
	list  []Record
	count int           // of all that there ever were
	more  chan struct{} // closed at the next one; nil while nobody waits
}

// Add adds an event that happens now, and forgets the oldest one if there are too many.
func (l *Log) Add(e Event) {
	record := Record{Time: time.Now(), Event: e}

	l.mu.Lock()
	defer l.mu.Unlock()

	l.count++
	l.list = append(l.list, record)
	if len(l.list) > maxEvents {
		l.list = slices.Delete(l.list, 0, 1)
	}

	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// List returns the events that are remembered, the oldest first.
func (l *Log) List() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()

	return slices.Clone(l.list)
}

// Follow hands on the events that are remembered, and those to come until ctx ends. In the place of
// those that a slow follower has missed it hands on a [Warning] with their number. It returns an
// error of show at once.
func (l *Log) Follow(ctx context.Context, show func(Record) error) error {
	seen := 0
	for ended := false; !ended; {
		fresh, missed, more := l.after(seen)
		seen += len(fresh) + missed

		if missed > 0 {
			fresh = slices.Insert(fresh, 0, Record{fresh[0].Time, missedEvents(missed)})
		}
		for _, record := range fresh {
			if err := show(record); err != nil {
				return err
			}
		}

		select {
		case <-more:
		case <-ctx.Done():
			ended = true
		}
	}

	// What came together with the end is handed on as well.
	fresh, _, _ := l.after(seen)
	for _, record := range fresh {
		if err := show(record); err != nil {
			return err
		}
	}

	return nil
}

// after returns the remembered events after the first seen ones, how many of those are forgotten,
// and a channel that is closed when there are more.
func (l *Log) after(seen int) (fresh []Record, missed int, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()

	news := l.count - seen
	fresh = slices.Clone(l.list[max(0, len(l.list)-news):])
	if l.more == nil {
		l.more = make(chan struct{})
	}

	return fresh, news - len(fresh), l.more
}
