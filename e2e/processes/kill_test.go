//go:build linux

package processes_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
)

// Six are one in each group.
var kills = flag.Int("kills", 6, "of the shop's processes under load")

// slack is how much later than its cause a failure may be noticed on a busy machine.
const slack = 3 * time.Second

// lost is the error of a call of Payment.Charge that had reached a process which was killed.
var lost = regexp.MustCompile(`^cannot charge the order: .*/payment/Payment\.Charge: .*\(the call may have been executed\)`)

// matcher explains failed requests.
type matcher struct {
	kills []kill
	logs  []entry
	used  map[int]bool // entries of logs that explain a failure already
}

// explain returns why a request failed, or "".
func (m *matcher) explain(f failure) string {
	if status, ok := strings.CutPrefix(f.Kind, "status "); ok {
		if code, err := strconv.Atoi(status); err == nil && code >= 500 && m.charged(f) {
			return "not retriable"
		}
		return ""
	}
	_, port, err := net.SplitHostPort(f.Local)
	if err != nil {
		return ""
	}
	for _, k := range m.kills {
		if k.peers[port] && f.Time.After(k.time) && f.Time.Sub(k.time) < slack {
			return "killed connection"
		}
	}
	return ""
}

// charged finds the line that the caller of Payment.Charge has logged when that call, which is
// never made again, broke while it may have been executed. Each line explains one failure.
func (m *matcher) charged(f failure) bool {
	for i, e := range m.logs {
		if e.Msg == "order not placed" && lost.MatchString(e.Attrs["err"]) && !m.used[i] &&
			!e.Time.Before(f.began().Truncate(time.Microsecond)) && !e.Time.After(f.Time) {
			m.used[i] = true
			return true
		}
	}
	return false
}

// TestKillUnderLoad kills replicas of all groups while many customers visit the shop. Only those
// requests fail that a killed process had taken, or that a call was part of which is not made
// again.
func TestKillUnderLoad(t *testing.T) {
	const between = 250 // requests
	spec := specOf(t, "shop", shopConfig(t))
	d := deploy(t, spec, deployer.Options{}, nil)
	status := d.ready(12)
	if len(status.Groups) != 6 {
		t.Fatalf("%d groups, want 6", len(status.Groups))
	}
	c := visit(t, d.url, "-users", "16")
	random := rand.New(rand.NewPCG(1, 2))
	var m matcher
	for i := range *kills {
		// As many requests again are served before each process is killed.
		before := d.served()
		if !poll(t, func() bool { return d.served()-before >= between }) {
			t.Fatalf("the load generator sends no requests after %d kills", i)
		}
		pair := inGroup(status, status.Groups[i%6].Name)
		victim := pair[random.IntN(len(pair))]
		m.kills = append(m.kills, killWith(t, victim, d.port()))
		status = d.until("replaced", func(s control.Status) bool {
			r := named(s, victim.Name)
			return r.State == "ready" && r.Pid != victim.Pid
		})
	}
	made, failures := c.leave()
	m.logs, m.used = d.entries(), map[int]bool{}
	matched := map[string]int{}
	for _, f := range failures {
		why := m.explain(f)
		if matched[why]++; why == "" {
			t.Errorf("unmatched: %+v", f)
		}
	}
	accepted := 0
	for _, k := range m.kills {
		accepted += len(k.peers)
	}
	if made < *kills*between || len(m.kills) != *kills {
		t.Errorf("%d requests, %d kills", made, len(m.kills))
	}
	t.Logf("%d requests, %d kills with %d accepted connections, %d failures: %v, unmatched %d",
		made, len(m.kills), accepted, len(failures), matched, matched[""])
}

// TestStopReplicaOfEachGroup stops replicas without killing them, as a debugger or a frozen machine
// does.
func TestStopReplicaOfEachGroup(t *testing.T) {
	t.Parallel()
	// Three seconds until a replica counts as hung, one for the question that it did not answer,
	// half of one until the next, and the rest for a busy machine. What begins later is called elsewhere; what
	// has begun fails when its connection is given up.
	const bound = 6 * time.Second
	d := deploy(t, specOf(t, "shop", shopConfig(t)), deployer.Options{}, nil)
	status := d.ready(12)
	c := visit(t, d.url, "-users", "6", "-think", "20ms")
	var stops []time.Time
	for half := range 2 {
		began := time.Now()
		stops = append(stops, began)
		var wait sync.WaitGroup
		for _, g := range status.Groups[3*half : 3*half+3] {
			victim := inGroup(status, g.Name)[0]
			wait.Go(func() { d.stopAndGo(victim) })
		}
		wait.Wait()
	}
	made, failures := c.leave()
	for _, f := range failures {
		in := false
		for _, s := range stops {
			in = in || f.Time.After(s) && f.Time.Sub(s)-time.Duration(f.Millis*float64(time.Millisecond)) < bound
		}
		if !in {
			t.Errorf("failed outside of the bound: %+v", f)
		}
	}
	if made == 0 {
		t.Error("no requests were made")
	}
	t.Logf("%d requests, %d failures of those that began within %v of a stop", made, len(failures), bound)
}

// stopAndGo stops a process, waits until it is replaced, and has it go on.
func (d *deployment) stopAndGo(victim control.ReplicaStatus) {
	if err := syscall.Kill(victim.Pid, syscall.SIGSTOP); err != nil {
		d.t.Error(err)
		return
	}
	began := time.Now()
	if !poll(d.t, func() bool {
		r := named(d.Status(), victim.Name)
		return r.State == "ready" && r.Pid != victim.Pid
	}) {
		d.t.Errorf("%s was not replaced: %+v", victim.Name, named(d.Status(), victim.Name))
		return
	}
	if err := syscall.Kill(victim.Pid, syscall.SIGCONT); !errors.Is(err, syscall.ESRCH) {
		d.t.Errorf("the process %d of %s is still there: %v", victim.Pid, victim.Name, err)
	}
	hung := d.eventsOf(victim.Name, "hung")
	if len(hung) != 1 {
		d.t.Errorf("%s was hung %d times", victim.Name, len(hung))
		return
	}
	d.t.Logf("%s: hung after %v, replaced after %v", victim.Name,
		hung[0].Time.Sub(began).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// TestDeadlock: a component whose calls wait for each other, without a method Ready that would say so,
// is noticed once its callers have given up, and its process replaced.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	conf := groups(map[string][]string{"main": {"Main", "A", "B", "C", "Crash", "Probe"}, "loner": {"Loner"}})
	d := deploy(t, specOf(t, "testapp", conf+"[divisi]\nreplicas = 1\n"), deployer.Options{}, nil)
	before := d.ready(2)
	if got := d.get("/jam?n=100"); !strings.HasSuffix(got, "/Loner.Jam: context deadline exceeded\n") {
		t.Fatalf("jammed: %q", got)
	}
	// It takes half a minute: what only takes long must not be killed.
	hung := func() bool { return len(d.eventsOf("loner-0@/testapp", "hung")) == 1 }
	for range 2 {
		if poll(t, hung) {
			break
		}
	}
	d.until("the loner is replaced", func(s control.Status) bool {
		for i, r := range s.Replicas {
			was := before.Replicas[i]
			if replaced := r.Pid != was.Pid && r.Restarts == 1; r.State != "ready" || replaced != (r.Group == "loner") {
				return false
			}
		}
		return true
	})
	if !hung() {
		t.Errorf("events %v", d.eventsOf("loner-0@/testapp", "hung"))
	}
	if got := d.get("/touch?n=30000"); got != "" {
		t.Errorf("after that: %q", got)
	}
}
