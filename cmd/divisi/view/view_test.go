package view

import (
	"bytes"
	"testing"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
)

func TestReplicaTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	next := now.Add(1530 * time.Millisecond)
	var out bytes.Buffer
	c := &console.Console{Out: &out}
	c.Columns(Rows([]control.ReplicaStatus{
		{Name: "cart-0@/shop", Pid: 4711, Group: "cart", State: "ready", Failing: "1 of 3 probes failed: no", Version: "KUPXDZ7MOXVCDZL6PTEYLKYP4A",
			Started: now.Add(-time.Minute), Components: []string{"cart.Cart", "größe.Größe"}},
		{Name: "größe-11@/shop", Version: "2", Group: "größe", State: "backoff", Restarts: 3, NextStart: &next},
	}, now))
	want := `NAME            PID   GROUP  STATE                         VERSION   RESTARTS  AGE   COMPONENTS
cart-0@/shop    4711  cart   ready (1 of 3 probes failed)  KUPXDZ7M  0         1m0s  cart.Cart größe.Größe
größe-11@/shop  -     größe  backoff 1.5s                  2         3         -
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// What an operator should notice is shown; what is as it was asked to be is not, and what happens
// again and again only with its count.
func TestEvents(t *testing.T) {
	var out bytes.Buffer
	v := &View{Console: &console.Console{Err: &out}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	main := event.Server{Name: "main-0@/a", Group: "main", Pid: 7}
	other := event.Server{Name: "main-1@/a", Group: "main", Pid: 8}
	for i, e := range []event.Event{
		event.Started{Server: main},
		event.Exited{Server: main, Code: 3, Text: "exited with code 3", Last: "no db"},
		event.Restarting{Server: main, In: time.Second},
		event.Exited{Server: other, Code: 3, Text: "exited with code 3", Last: "no db"},
		event.Restarting{Server: other, In: 2 * time.Second},
		event.Restarting{Server: other, In: 30 * time.Second, Failed: true},
		event.Exited{Server: other, Code: -1, Text: "was ended by the signal killed"},
		event.Draining{Server: main},
		event.AppDraining{},
		event.Exited{Server: main, Text: "exited with code 0", Asked: true},
		event.AppStopped{},
	} {
		v.Event(event.Record{Time: at.Add(time.Duration(i) * time.Second), Event: e})
	}
	want := `03:04:06 main-0@/a (process 7) exited with code 3: no db
03:04:07 main-0@/a starts again in 1s
03:04:10 main-1@/a has failed: it ended too often before it was ready, and starts again in 30s; ` +
		`processes of the group ended 2 times in 4s, each time it exited with code 3: no db
03:04:11 main-1@/a (process 8) was ended by the signal killed
03:04:13 stopping in order
03:04:15 everything has stopped
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
