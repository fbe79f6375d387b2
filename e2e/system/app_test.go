//go:build linux

package system

import (
	"maps"
	"strings"
	"syscall"
	"testing"
)

// TestApp: an application of components in a system outlives the program under load, is adopted by its next run,
// and upgraded by its next version; it ends with the system.
func TestApp(t *testing.T) {
	s := newSite(t)
	r := s.run("subject", "shop-1").runs()
	before := s.servers("subject")
	for _, name := range []string{"prices@/subject", "main-0@/subject/shop", "labels-0@/subject/shop"} {
		if before[name] == 0 {
			t.Fatalf("%s does not run: %v", name, before)
		}
	}
	visits := visit(t, s.address("subject"))
	for range *kills {
		r.kill()
		r = s.run("subject", "shop-1").runs()
		if now := s.servers("subject"); !maps.Equal(now, before) || !strings.Contains(r.words(), "the shop was adopted") {
			t.Fatalf("there are %v, and there were %v:\n%s", now, before, r.words())
		}
	}

	for i := range *upgrades {
		edition := []string{"2", "1"}[i%2]
		r.kill()
		r = s.run("subject", "shop-"+edition).runs()
		if now := s.servers("subject"); len(now) != 3 || !strings.Contains(r.words(), "the shop was upgraded") {
			t.Fatalf("there are %v:\n%s", now, r.words())
		}
		s.until("the next version answers", func() bool {
			visits.mu.Lock()
			defer visits.mu.Unlock()
			return visits.last == edition
		})
	}
	visits.leave(t)

	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := r.ends(); code != 0 {
		t.Errorf("it ends with %d:\n%s", code, r.words())
	}
	if now := s.servers("subject"); len(now) != 0 {
		t.Errorf("%v is left", now)
	}
	if words := r.words(); strings.Index(words, "main-0@/subject/shop has stopped") > strings.Index(words, "everything has stopped") {
		t.Errorf("it does not stop in order:\n%s", words)
	}
}
