package event

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write testdata")

var cart = Server{Name: "cart-0@/shop", Group: "cart", Version: "3", Pid: 7}

// all has every type of event.
var all = []Event{
	Started{cart},
	Listening{cart, "web", "http://localhost:80"},
	Ready{cart},
	NotReady{cart, "cart.Cart is not ready: the database is away"},
	Late{cart, 30 * time.Second, "Init of cart.Cart has run for 30 s"},
	Silent{cart},
	Hung{Server: cart},
	Hung{cart, "it has given no sign of life for 2s"},
	Exited{Server: cart, Code: -1, Signal: "killed", Text: "was ended by the signal killed"},
	Exited{Server: cart, Code: 1, Text: "exited with code 1", Last: "no db"},
	Exited{Server: cart, Text: "exited with code 0", Asked: true},
	Restarting{Server: cart, At: time.Unix(60, 0).UTC(), In: time.Second},
	Restarting{Server: cart, At: time.Unix(60, 0).UTC(), In: 30 * time.Second, Failed: true},
	Draining{cart},
	Stopped{cart},
	TookOver{"3", 11},
	Upgrading{"4"},
	Upgraded{"4"},
	Adopted{cart},
	Replaced{cart},
	Asked{"/orderd/port", "port 80 is taken\nwhich one?"},
	Answered{"/orderd/port", "value"},
	Restarting{Server: cart, At: time.Unix(60, 0).UTC(), In: time.Second, Reason: "no such file"},
	Restarting{Server: cart, At: time.Unix(60, 0).UTC(), In: time.Minute, Failed: true, Reason: "no such file"},
	RolledBack{"4", "cart-0@/shop has failed"},
	AppDraining{},
	AppStopped{},
	Warning{"the disk is full"},
}

// TestRecords keeps the JSON form of every event, which programs rely on, and reads it again.
func TestRecords(t *testing.T) {
	var out bytes.Buffer
	for _, e := range all {
		line, err := json.Marshal(Record{time.Unix(1, 0).UTC(), e})
		if err != nil {
			t.Fatalf("%T: %v", e, err)
		}
		fmt.Fprintf(&out, "%s\n", line)

		var back Record
		if err := json.Unmarshal(line, &back); err != nil || back.Event != e || !back.Time.Equal(time.Unix(1, 0)) {
			t.Errorf("%s became %#v, %v", line, back, err)
		}
	}

	const file = "testdata/records.ndjson"
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%v\ngot\n%s\nwant\n%s", err, out.Bytes(), want)
	}
}

// TestKinds fails for a kind that no event of the test has, or that cannot be read.
func TestKinds(t *testing.T) {
	var seen []Kind
	for _, e := range all {
		seen = append(seen, e.Kind())
	}
	for kind := range decoders {
		if !slices.Contains(seen, kind) {
			t.Errorf("no event is of the kind %q", kind)
		}
	}
	for _, kind := range seen {
		if decoders[kind] == nil {
			t.Errorf("events of the kind %q cannot be read", kind)
		}
	}
}

func TestLaterKind(t *testing.T) {
	var r Record
	err := json.Unmarshal([]byte(`{"time":"2030-01-01T00:00:00Z","kind":"moved","text":"cart has moved"}`), &r)
	if err != nil || r.Event != (Warning{"cart has moved"}) {
		t.Errorf("got %#v, %v", r, err)
	}
}

func FuzzRecord(f *testing.F) {
	for _, e := range all {
		line, _ := json.Marshal(Record{time.Unix(1, 0), e})
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Record
		if json.Unmarshal(data, &r) != nil {
			return
		}
		if _, err := json.Marshal(r); err != nil && r.Time.Year() <= 9999 {
			t.Errorf("%s is read, and not written: %v", data, err)
		}
	})
}

func pid(n int) Event { return Started{Server{Pid: n}} }

func pidOf(r Record) int {
	server, _ := About(r.Event)
	return server.Pid
}

func TestList(t *testing.T) {
	var log Log
	if list := log.List(); len(list) != 0 {
		t.Errorf("there are %d events before the first one", len(list))
	}
	for i := range maxEvents + 10 {
		log.Add(pid(i))
	}
	list := log.List()
	if len(list) != maxEvents || pidOf(list[0]) != 10 || pidOf(list[maxEvents-1]) != maxEvents+9 {
		t.Errorf("%d events from %d to %d are remembered", len(list), pidOf(list[0]), pidOf(list[len(list)-1]))
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log Log
		log.Add(pid(1))
		ctx, cancel := context.WithCancel(t.Context())
		var shown []int
		over := make(chan error)
		go func() {
			over <- log.Follow(ctx, func(r Record) error {
				shown = append(shown, pidOf(r))
				return nil
			})
		}()
		synctest.Wait()
		log.Add(pid(2))
		synctest.Wait()
		log.Add(pid(3))
		log.Add(pid(4))
		synctest.Wait()
		// The last event comes together with the end.
		log.Add(pid(5))
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(shown); got != "[1 2 3 4 5]" {
			t.Errorf("got %s", got)
		}
	})
}

// A slow follower is told how many events it has missed, and sees all others.
func TestFollowSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log Log
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		log.Add(pid(-1))
		proceed := make(chan struct{})
		var shown []Record
		go log.Follow(ctx, func(r Record) error {
			<-proceed
			shown = append(shown, r)
			return nil
		})
		synctest.Wait()
		for i := range 3 * maxEvents {
			log.Add(pid(i))
		}
		close(proceed)
		synctest.Wait()
		if len(shown) != 2+maxEvents || shown[1].Event != missedEvents(2*maxEvents) ||
			pidOf(shown[2]) != 2*maxEvents || pidOf(shown[1+maxEvents]) != 3*maxEvents-1 {
			t.Errorf("%d are shown: %v", len(shown), shown)
		}
	})
}

func TestFollowError(t *testing.T) {
	var log Log
	log.Add(pid(1))
	if err := log.Follow(t.Context(), func(Record) error { return context.Canceled }); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}
