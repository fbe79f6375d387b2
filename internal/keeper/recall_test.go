//go:build unix

package keeper

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// recalled returns the state of a keeper that reads a journal.
func recalled(text string) (*Keeper, error) {
	k := &Keeper{boot: "this", epochs: map[string]uint64{}}
	err := k.recall(slices.Collect(bytes.Lines([]byte(text))))
	return k, err
}

const head = `{"event":"keeper","format":1,"boot":"this","last_run":7,"number":3}` + "\n"

func TestRecall(t *testing.T) {
	const (
		starts  = `{"event":"starts","id":{"domain":"/a","name":"b","run":8},"spec":{}}` + "\n"
		started = `{"event":"started","id":{"domain":"/a","name":"b","run":8},"pid":5,"ticks":6}` + "\n"
		exited  = `{"event":"exited","id":{"domain":"/a","name":"b","run":8},"pid":5,"number":4,"exit":{"code":2,"how":"wait"}}` + "\n"
		refused = `{"event":"refused","id":{"domain":"/a","name":"b","run":8}}` + "\n"
		claims  = `{"event":"claimed","holder":{"domain":"/a","epoch":2}}` + "\n" + `{"event":"claimed","holder":{"domain":"/a","epoch":9}}` + "\n"
	)
	for name, tc := range map[string]struct {
		text  string
		run   uint64
		epoch uint64
		exits []How
	}{
		"nothing":          {"", 0, 0, nil},
		"ended":            {head + starts + started + exited, 8, 0, []How{Waited}},
		"lost":             {head + starts + started, 8, 0, []How{Unknown}},
		"about to start":   {head + starts, 8, 0, []How{Unknown}},
		"refused":          {head + starts + refused, 8, 0, nil},
		"claims":           {head + claims, 7, 9, nil},
		"cut and unknown":  {head + `{"event":"star` + "\n" + `{"event":"new","x":1}` + "\n", 7, 0, nil},
		"lost by a reboot": {strings.ReplaceAll(head, "this", "other") + starts + started, 8, 0, []How{Reboot}},
	} {
		k, err := recalled(tc.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var how []How
		for _, r := range k.exits {
			how = append(how, r.Exit.How)
		}
		if k.run != tc.run || k.epochs["/a"] != tc.epoch || !slices.Equal(how, tc.exits) {
			t.Errorf("%s: run %d, epoch %d, exits %v", name, k.run, k.epochs["/a"], how)
		}
	}

	_, err := recalled(strings.ReplaceAll(head, `"format":1`, `"format":2`))
	if err == nil || !strings.Contains(err.Error(), "line 1: format 2 is not known") {
		t.Errorf("an unknown format: %v", err)
	}
}

func FuzzRecall(f *testing.F) {
	f.Add(head)
	f.Add(head + `{"event":"exited","number":18446744073709551615,"exit":{}}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := recalled(text); err == nil && len(k.exits) > maxExits {
			t.Errorf("%d exits", len(k.exits))
		}
	})
}
