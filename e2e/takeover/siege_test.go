//go:build linux

package takeover

import (
	"encoding/json"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/control"
)

// rightTime is how long after a deployer has taken over the status may be another one than that of an
// application that runs, on a machine that does nothing else.
const rightTime = 2 * time.Second

// How often things happen in the siege.
var (
	kills    = flag.Int("kills", 3, "of the deployer")
	upgrades = flag.Int("upgrades", 1, "with some of the kills")
	keepers  = flag.Int("keepers", 1, "kills of the keeper, with some of the kills of the deployer")
)

// siege is an application under load whose deployers are killed.
type siege struct {
	*site
	run     *run
	pids    map[string]int
	edition int
	slowest time.Duration // to the right status
	longest time.Duration // to a run that says that all is ready
}

// TestSiege: while visitors who repeat nothing are in an application, its deployer is killed again and again,
// each time with a new one; it is upgraded in between, and the keeper is killed. No request fails, no process
// changes but by an upgrade, and what runs once never runs twice.
func TestSiege(t *testing.T) {
	t.Run("shop", func(t *testing.T) { besiege(t, shop(t)) })
	t.Run("subject", func(t *testing.T) { besiege(t, subject(t)) })
}

// shop returns a site for the example.
func shop(t *testing.T) *site {
	t.Helper()
	text, err := os.ReadFile("../../examples/shop/shop.toml")
	if err != nil {
		t.Fatal(err)
	}
	file := strings.ReplaceAll(string(text), "localhost:9000", "127.0.0.1:0")
	file = strings.Replace(file, "[divisi]\n", "[divisi]\norphan = \"serve\"\n", 1)
	return newSite(t, "shop", file, map[string]int{
		"main": 2, "catalog": 2, "cart": 2, "checkout": 2, "currency": 2, "payment": 2,
	})
}

func besiege(t *testing.T, at *site) {
	s := &siege{site: at, edition: 1, run: at.run()}
	url := s.run.ready().Listeners[0].URL
	s.pids = s.exactly()

	visits := visit(t, url)
	due := func(n, often int) bool { return n*often / *kills != (n+1)*often / *kills }
	for n := range *kills {
		visits.sees(s.site, 50)
		if due(n, *keepers) {
			s.killKeeper()
		}
		s.run.kill()
		upgrade := due(n, *upgrades)
		if upgrade {
			s.edition = 3 - s.edition
			s.site.edition(s.edition)
		}
		s.succeed(upgrade)
	}
	visits.sees(s.site, 50)
	failed := visits.leave()

	t.Logf("%d kills, %d of them with an upgrade, %d with a kill of the keeper: %d requests, %d failed; "+
		"all was ready after %v at most, and the status right after another %v at most",
		*kills, *upgrades, *keepers, visits.sent.Load(), len(failed), s.longest, s.slowest)
	if len(failed) > 0 {
		t.Errorf("%d of %d requests failed:\n%s", len(failed), visits.sent.Load(), strings.Join(failed, "\n"))
	}
	if soak() && s.slowest > rightTime {
		t.Errorf("the status was right after %v, more than %v", s.slowest, rightTime)
	}
}

// succeed begins the next run, which takes over.
func (s *siege) succeed(upgrade bool) {
	s.t.Helper()
	began := time.Now()
	s.run = s.site.run()
	s.run.ready()
	s.longest = max(s.longest, time.Since(began).Round(time.Millisecond))

	began = time.Now()
	s.until("the status is right", s.right)
	s.slowest = max(s.slowest, time.Since(began).Round(time.Millisecond))

	before := s.pids
	s.pids = s.exactly()
	if upgrade {
		for name, pid := range before {
			if s.pids[name] == pid {
				s.t.Errorf("%s is not replaced by an upgrade", name)
			}
		}
		return
	}
	if !maps.Equal(before, s.pids) {
		s.t.Errorf("other processes run after a takeover:\n%v\n%v\n%s", before, s.pids, s.situation())
	}
}

// right asks the command for the status, and reports whether it is that of an application that runs.
func (s *siege) right() bool {
	var status control.Status
	printed, err := s.command("status", s.app, "-o", "json").Output()
	if err == nil {
		err = json.Unmarshal(printed, &status)
	}
	ready := map[string]int{}
	for _, r := range status.Replicas {
		if r.State == "ready" {
			ready[r.Group]++
		}
	}
	return err == nil && status.State == "running" && maps.Equal(ready, s.wanted)
}

// TestAnywhere: under load, deployers of this and that version are killed anywhere, which means after a random
// time. The last one has exactly what is wanted, and no request has failed.
//
// With DIVISI_SOAK in the environment there are a hundred.
func TestAnywhere(t *testing.T) {
	const within = 1500 * time.Millisecond // most of which a start or an upgrade takes
	times := 4
	if soak() {
		times = 100
	}
	s := subject(t)
	r := s.run()
	visits := visit(t, r.ready().Listeners[0].URL)
	visits.sees(s, 50)
	for range times {
		r.kill()
		s.edition(1 + rand.N(3))
		s.write(marked(string("abc"[rand.N(3)])))
		r = s.run()
		select {
		case <-time.After(rand.N(within)):
		case <-r.over:
			t.Fatalf("divisi run ends: %v\n%s\n%s", r.cmd.ProcessState, &r.printed, s.situation())
		}
	}
	r.ready()
	s.exactly()
	visits.sees(s, 50)
	if failed := visits.leave(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed:\n%s\n%s", len(failed), visits.sent.Load(), strings.Join(failed, "\n"), s.situation())
	}
	t.Logf("%d kills, %d requests", times, visits.sent.Load())
}
