//go:build unix

package keepertest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// probes: a server is killed when its probe fails again and again, and starts again by its policy.
func probes(t *testing.T, d *desk.Desk) {
	dir := t.TempDir()
	sick := filepath.Join(dir, "sick")
	s := desk.Shell("asked", "exec sleep 60")
	s.Dir, s.Policy = dir, desk.Quick(lifecycle.Permanent)
	s.Probe = &keeper.Probe{Ask: "exec:echo asked >> asked; test ! -e sick || { echo it is sick; false; }",
		Interval: 20 * time.Millisecond, StartPeriod: time.Millisecond}
	p := d.Begin(t, s)
	for asked := 0; asked < 3 && d.Ctx.Err() == nil; {
		text, _ := os.ReadFile(filepath.Join(dir, "asked")) // nobody has asked yet
		asked = strings.Count(string(text), "\n")
	}
	list, err := d.List(d.Ctx, domain)
	if err != nil || len(list) != 1 || list[0].ID != p.ID || list[0].Failing != "" {
		t.Fatalf("%+v, %v", list, err)
	}

	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if exit := d.Await(t, p.ID); exit.Signal != "killed" || !strings.Contains(exit.String(), "killed: hung: 3 probes in a row have failed") {
		t.Errorf("it %v", exit)
	}
	e := d.Until(t, "asked", 0, keeper.Hung)
	for _, part := range []string{"3 probes in a row have failed", "it is sick"} {
		if !strings.Contains(e.Text, part) {
			t.Errorf("%q does not say %q", e.Text, part)
		}
	}
	if log := d.Log(t, "asked"); len(log) == 0 || !strings.Contains(log[0]["msg"].(string), "it is killed: 3 probes") {
		t.Errorf("its log says %v", log)
	}

	if err := os.Remove(sick); err != nil {
		t.Fatal(err)
	}
	waits := d.Until(t, "asked", 0, keeper.Waits)
	if next := d.Until(t, "asked", waits.Number, keeper.Started); next.Run <= p.Run {
		t.Errorf("%+v", next)
	}
	if _, err := d.Stop(d.Ctx, keeper.ID{Domain: domain, Name: "asked"}); err != nil {
		t.Error(err)
	}

	for _, ask := range []string{"notify", "log:x", "nothing:x", ""} {
		s := desk.Shell("never", "exit 0")
		s.Probe = &keeper.Probe{Ask: ask}
		if _, err := d.Start(d.Ctx, s); !errors.Is(err, keeper.ErrInvalid) {
			t.Errorf("the probe %q: %v", ask, err)
		}
	}
}
