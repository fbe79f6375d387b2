//go:build linux

package system

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/control"
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
}

// TestAppStops: an application stops before what it depends on, and drains: a request that is in the middle when it
// drains has its answer, for which every part of it is needed, and the prices.
func TestAppStops(t *testing.T) {
	s := newSite(t)
	r := s.run("subject", "shop-1").runs()
	body, rest := io.Pipe()
	answer, err := httpClient().Post("http://"+s.address("subject")+"/slow", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()

	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.until("it drains", func() bool { return strings.Contains(r.words(), "main-0@/subject/shop is draining") })
	if err := rest.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(answer.Body); err != nil || string(text) != "1" {
		t.Errorf("the last answer is %q, %v", text, err)
	}
	if code := r.ends(); code != 0 {
		t.Errorf("it ends with %d:\n%s", code, r.words())
	}
	if now := s.servers("subject"); len(now) != 0 {
		t.Errorf("%v is left", now)
	}
}

// TestAppWithdrawn: a next version of an application that does not get ready in time, or ends again and again, is
// stopped, and said with its last words. The one before has never left, and no request has come to the next one, which
// would serve at once.
func TestAppWithdrawn(t *testing.T) {
	for fault, words := range map[string][]string{
		"hangs": {"not ready within 10s", "labels-0@/subject/shop is", "labels-0@/subject/shop the printer of labels warms up"},
		"fails": {"labels-0@/subject/shop has failed", "there is no printer of labels"},
	} {
		t.Run(fault, func(t *testing.T) {
			s := newSite(t)
			s.run("subject", "shop-1").runs().kill()
			before := s.servers("subject")
			visits := visit(t, s.address("subject"))

			next := s.run("subject", "shop-1", "SHOP_FAULT="+fault, "SHOP_EAGER=1")
			if code := next.ends(); code != 1 {
				t.Errorf("it ends with %d", code)
			}
			for _, word := range append(words, "cannot start the application subject/shop (shop/main.go:", "the version before goes on") {
				if !strings.Contains(next.lastWords(), word) {
					t.Errorf("it does not say %q:\n%s", word, next.words())
				}
			}
			visits.leave(t)
			if now := s.servers("subject"); !maps.Equal(now, before) {
				t.Errorf("there are %v, and there were %v:\n%s", now, before, next.words())
			}
		})
	}
}

// TestAppCutShort: the program ends in the middle of an upgrade of its application, of which both versions go on. The
// next run goes on with the upgrade if it wants that, or withdraws it at once and says so.
func TestAppCutShort(t *testing.T) {
	cold := []string{"SHOP_FAULT=hangs", "SHOP_EAGER=1", "SHOP_WITHIN=1m"}
	s := newSite(t)
	s.run("subject", "shop-1").runs().kill()
	before := s.servers("subject")
	visits := visit(t, s.address("subject"))
	cut := func() {
		next := s.run("subject", "shop-1", cold...)
		s.until("the next version starts", func() bool { return len(s.list("subject")) == len(before)+1 })
		next.kill()
	}

	cut()
	r := s.run("subject", "shop-1").runs()
	s.until("the next version is withdrawn", func() bool { return maps.Equal(s.servers("subject"), before) && len(s.list("subject")) == len(before) })
	s.until("it says so", func() bool {
		return strings.Contains(r.words(), "its upgrade was cut short, and it is not wanted any more")
	})
	r.kill()

	cut()
	r = s.run("subject", "shop-1", cold...)
	if err := os.WriteFile(filepath.Join(s.home.Domain("/subject").Data, "warm"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.runs()
	s.until("the version before has gone", func() bool { return len(s.list("subject")) == len(before) })
	now := s.servers("subject")
	if now["prices@/subject"] != before["prices@/subject"] || now["main-0@/subject/shop"] == before["main-0@/subject/shop"] ||
		!strings.Contains(r.words(), "the shop was upgraded") {
		t.Errorf("there are %v, and there were %v:\n%s", now, before, r.words())
	}
	visits.leave(t)
}

// lastWords returns the error that the run has ended with.
func (r *run) lastWords() string {
	words := r.words()
	return words[max(0, strings.LastIndex(words, "\nsubject: ")):]
}

// TestAppCannotStart: an application that does not get ready at its first start is stopped, with all that was
// started before it.
func TestAppCannotStart(t *testing.T) {
	s := newSite(t)
	r := s.run("subject", "shop-1", "SHOP_FAULT=fails")
	if code := r.ends(); code != 1 {
		t.Errorf("it ends with %d", code)
	}
	for _, word := range []string{
		"cannot start the application subject/shop (shop/main.go:", "labels-0@/subject/shop has ended too often before it was ready",
		"there is no printer of labels",
	} {
		if !strings.Contains(r.lastWords(), word) {
			t.Errorf("it does not say %q:\n%s", word, r.words())
		}
	}
	if now := s.servers("subject"); len(now) != 0 {
		t.Errorf("%v is left:\n%s", now, r.words())
	}
}

// TestAppFails: an application of which a part ends again and again has failed as a whole. Its nursery has it start
// again, and when it has failed too often, the operator is asked. Nothing else is disturbed.
func TestAppFails(t *testing.T) {
	s := newSite(t)
	r := s.run("subject", "shop-1").runs()
	before := s.servers("subject")
	jam := filepath.Join(s.home.Domain("/subject").Data, "jam")
	if err := os.WriteFile(jam, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(before["labels-0@/subject/shop"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{
		`failed, and starts again what="the application shop" in=/subject`, "labels-0@/subject/shop has ended too often before it was ready",
		"the printer of labels is jammed", "a question: divisi answer /subject/shop",
	} {
		s.until("it says "+word, func() bool { return strings.Contains(r.words(), word) })
	}
	if now := s.servers("subject"); len(now) != 1 || now["prices@/subject"] != before["prices@/subject"] {
		t.Errorf("there are %v, and there were %v", now, before)
	}

	if err := os.Remove(jam); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.operator().Answer(ctx, control.Answer{Key: "/subject/shop", Kind: control.Retry}); err != nil {
		t.Fatal(err)
	}
	s.until("the shop runs again", func() bool {
		answer, err := once(httpClient(), s.address("subject"))
		return err == nil && answer == "1"
	})
	if now := s.servers("subject"); len(now) != 3 || now["prices@/subject"] != before["prices@/subject"] {
		t.Errorf("there are %v, and there were %v", now, before)
	}
}
