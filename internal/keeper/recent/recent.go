// Package recent has the latest events of a keeper, and the latest ends of its processes.
package recent

import (
	"fmt"
	"slices"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
)

// maxEvents bounds how many events are remembered.
const maxEvents = 1000

// Events are the latest events. The zero value has none. It is not safe for concurrent use.
type Events struct {
	list   []keeper.Event
	number uint64        // of the last one
	more   chan struct{} // closed at the next one; nil while nobody waits
}

// All returns the events that are remembered, and the number of the last one.
func (l *Events) All() ([]keeper.Event, uint64) { return l.list, l.number }

// From returns events that were remembered elsewhere.
func From(list []keeper.Event, number uint64) Events { return Events{list: list, number: number} }

// Add adds an event that happens now.
func (l *Events) Add(e keeper.Event) {
	l.number++
	e.Number, e.Time = l.number, time.Now()
	l.list = append(l.list, e)
	if len(l.list) > maxEvents {
		l.list = slices.Delete(l.list, 0, 1)
	}

	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// After returns the events of a domain and those below behind a number, and a channel that is closed
// when there are more. A number that was never given, such as one of an earlier keeper, is 0.
func (l *Events) After(domain string, number uint64) ([]keeper.Event, <-chan struct{}) {
	if number > l.number {
		number = 0
	}

	var list []keeper.Event
	forgotten := l.number - uint64(len(l.list))
	if number > 0 && number < forgotten {
		list = append(list, keeper.Event{
			Number: forgotten, Time: l.list[0].Time, Kind: keeper.Missed,
			ID: keeper.ID{Domain: domain}, Text: fmt.Sprintf("%d events are forgotten", forgotten-number),
		})
	}
	for _, e := range l.list {
		if e.Number > number && keeper.Within(e.Domain, domain) {
			list = append(list, e)
		}
	}

	if l.more == nil {
		l.more = make(chan struct{})
	}
	return list, l.more
}
