package record

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// read returns what a journal amounts to.
func read(text string) (*Past, error) {
	return Read(slices.Collect(bytes.Lines([]byte(text))))
}

const head = `{"event":"keeper","format":1,"boot":"this","last_run":7,"number":3}` + "\n"

func TestRead(t *testing.T) {
	const (
		wanted  = `{"event":"wanted","born":8,"spec":{"domain":"/a","name":"b"}}` + "\n"
		starts  = `{"event":"starts","born":8,"id":{"domain":"/a","name":"b","run":8}}` + "\n"
		started = `{"event":"started","born":8,"id":{"domain":"/a","name":"b","run":8},"pid":5,"ticks":6}` + "\n"
		exited  = `{"event":"exited","born":8,"id":{"domain":"/a","name":"b","run":8},"pid":5,"number":4,"exit":{"code":2,"how":"wait"}}` + "\n"
		refused = `{"event":"refused","born":8,"id":{"domain":"/a","name":"b","run":8}}` + "\n"
		left    = `{"event":"left","born":8}` + "\n"
		claims  = `{"event":"claimed","holder":{"domain":"/a","epoch":2}}` + "\n" + `{"event":"claimed","holder":{"domain":"/a","epoch":9}}` + "\n"
		listens = `{"event":"listened","socket":{"domain":"/a","key":"web","address":"x:1"},"inode":9}` + "\n"
		closes  = `{"event":"unlistened","socket":{"domain":"/a","key":"web"}}` + "\n"
	)
	for name, tc := range map[string]struct {
		text    string
		run     uint64
		epoch   uint64
		exits   int
		process Change // of the server that is left
		servers int
		sockets int
	}{
		"nothing":         {text: ""},
		"ended":           {text: head + wanted + starts + started + exited + left, run: 8, exits: 1},
		"waits":           {text: head + wanted + starts + started + exited, run: 8, exits: 1, servers: 1},
		"runs":            {text: head + wanted + starts + started, run: 8, servers: 1, process: "started"},
		"about to start":  {text: head + wanted + starts, run: 8, servers: 1, process: "starts"},
		"refused":         {text: head + wanted + starts + refused, run: 8, servers: 1},
		"never wanted":    {text: head + starts + started, run: 8},
		"claims":          {text: head + claims, run: 7, epoch: 9},
		"sockets":         {text: head + listens, run: 7, sockets: 1},
		"closed":          {text: head + listens + closes, run: 7},
		"cut and unknown": {text: head + `{"event":"star` + "\n" + `{"event":"new","x":1}` + "\n", run: 7},
	} {
		got, err := read(tc.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var process Change
		for _, s := range got.Servers {
			if s.Process != nil {
				process = s.Process.Event
			}
		}
		if got.Run != tc.run || got.Claims["/a"].Holder.Epoch != tc.epoch || len(got.Exits) != tc.exits || len(got.Servers) != tc.servers ||
			process != tc.process || len(got.Sockets) != tc.sockets {
			t.Errorf("%s: %+v", name, got)
		}
	}

	_, err := read(strings.ReplaceAll(head, `"format":1`, `"format":2`))
	if err == nil || !strings.Contains(err.Error(), "line 1: format 2 is not known") {
		t.Errorf("an unknown format: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(head)
	f.Add(head + `{"event":"exited","number":18446744073709551615,"exit":{}}` + "\n")
	f.Add(head + `{"event":"wanted","born":1,"spec":{}}` + "\n" + `{"event":"started","born":1}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := read(text)
		if err == nil && len(got.Exits)+len(got.Servers)+len(got.Sockets) > strings.Count(text, "\n")+1 {
			t.Errorf("%+v", got)
		}
	})
}
