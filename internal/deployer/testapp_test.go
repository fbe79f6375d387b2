package deployer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/place"
	"github.com/divisi-go/divisi/internal/survey"
)

const testapp = "github.com/divisi-go/divisi/internal/deployer/testdata/testapp/"

// rest is a configuration of testdata/testapp: the components that are not named share one process.
func rest(apart ...string) string {
	together := []string{`"github.com/divisi-go/divisi/Main"`}
	for _, c := range []string{"Keyed", "Lock", "Solo"} {
		if !slices.Contains(apart, c) {
			together = append(together, strconv.Quote(testapp+c))
		}
	}
	return fmt.Sprintf("[divisi.groups.rest]\ncomponents = [%s]\nreplicas = 1\n", strings.Join(together, ", "))
}

// pid returns the process that a page names.
func (d *deployment) pid(path string) int {
	d.t.Helper()
	pid, err := strconv.Atoi(d.get(path))
	if err != nil {
		d.t.Fatalf("GET %s: %v", path, err)
	}
	return pid
}

// all waits until so many replicas run, each of them ready, and none else.
func (d *deployment) all(replicas int) control.Status {
	d.t.Helper()
	return d.until(fmt.Sprintf("%d replicas are ready", replicas), func(s control.Status) bool {
		return len(s.Replicas) == replicas &&
			!slices.ContainsFunc(s.Replicas, func(r control.ReplicaStatus) bool { return r.State != "ready" })
	})
}

// find returns the replica with a name, or the one with a process.
func find(s control.Status, name string, pid int) (found control.ReplicaStatus) {
	for _, r := range s.Replicas {
		if r.Name == name || pid != 0 && r.Pid == pid {
			found = r
		}
	}
	return found
}

// told returns what the first replica of the group rest was told about a component last.
func (d *deployment) told(component string) (route place.Route) {
	d.t.Helper()
	err := d.do(d.t.Context(), func() {
		s := d.sets[len(d.sets)-1]
		for _, a := range s.placement.Activate(place.Replica{Group: "rest"}, testapp+component) {
			route = a.(place.Route)
		}
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return route
}

// informed waits until the process of the main component knows where a component is now. It is told so
// soon after the status changes; here it is told once more, for it answers when it knows.
func (d *deployment) informed(component string) {
	d.t.Helper()
	list, err := d.conversations(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(r survey.Replica) bool { return strings.HasPrefix(r.Name, "rest-0@") })
	if err := list[i].Conversation.UpdateRoutingInfo(routingInfo(d.told(component))); err != nil {
		d.t.Fatal(err)
	}
}

// TestReplacement breaks a replica in each way in which replicas break. Callers are told to leave it
// and to use the one that takes its place, which gets calls; nobody else is disturbed, and no call is
// lost.
func TestReplacement(t *testing.T) {
	t.Parallel()
	kill := func(s syscall.Signal) func(d *deployment) int {
		return func(d *deployment) int {
			pid := d.pid("/lock")
			if err := syscall.Kill(pid, s); err != nil {
				d.t.Fatal(err)
			}
			return pid
		}
	}
	for name, c := range map[string]struct {
		damage func(d *deployment) int
		want   string
	}{
		"killed":  {kill(syscall.SIGKILL), "exited ready"},
		"stopped": {kill(syscall.SIGSTOP), "silent hung exited ready"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, specOf(t, "testapp", rest("Lock")))
			before := d.all(3)
			victim := find(before, "", c.damage(d))
			if victim.Group != "lock" {
				t.Fatalf("the victim is %+v of %+v", victim, before)
			}
			var next control.ReplicaStatus
			d.until("calls reach the replacement", func(s control.Status) bool {
				pid := d.pid("/lock")
				next = find(s, victim.Name, 0)
				return pid == next.Pid && pid != victim.Pid
			})
			if next.State != "ready" || next.Restarts != 1 || next.Address != victim.Address {
				t.Errorf("the replacement is %+v", next)
			}
			for _, r := range before.Replicas {
				now := find(d.Status(), r.Name, 0)
				if r.Name != victim.Name && (now.Pid != r.Pid || now.Restarts != 0) {
					t.Errorf("%s was disturbed: process %d is now %d", r.Name, r.Pid, now.Pid)
				}
			}
			if route := d.told("Lock"); len(route.Addresses) != 2 || !slices.Contains(route.Addresses, next.Address) {
				t.Errorf("callers are told %q; the replacement is at %s", route.Addresses, next.Address)
			}
			if got := d.kinds(victim.Name, c.want); got != "ready "+c.want {
				t.Errorf("events %q, want %q", got, "ready "+c.want)
			}
			d.stop()
		})
	}
}

// TestNotReady: a replica whose method Ready does not come back gets no calls, and is not killed.
func TestNotReady(t *testing.T) {
	t.Parallel()
	d := deploy(t, specOf(t, "testapp", rest("Lock")))
	before := d.all(3)
	victim := find(before, "", d.pid("/hold"))
	d.until("the replica is not ready", func(s control.Status) bool {
		return find(s, victim.Name, 0).State == "not ready"
	})
	d.informed("Lock")
	for range 20 {
		if pid := d.pid("/lock"); pid == victim.Pid {
			t.Fatalf("a call has reached %s", victim.Name)
		}
	}
	for _, r := range before.Replicas {
		if now := find(d.Status(), r.Name, 0); now.Pid != r.Pid {
			t.Errorf("%s was replaced: process %d is now %d", r.Name, r.Pid, now.Pid)
		}
	}

	var reason string
	for _, r := range d.events.List() {
		if e, ok := r.Event.(event.NotReady); ok && e.Name == victim.Name {
			reason = e.Reason
		}
	}
	if !strings.Contains(reason, "Ready of testapp.Lock has run for") {
		t.Errorf("the reason is %q", reason)
	}
	d.cancel()
}

// kinds returns those events of a replica that are hung, or of the kinds in a list.
func (d *deployment) kinds(replica, list string) string {
	var kinds []string
	for _, r := range d.events.List() {
		kind := string(r.Event.Kind())
		if server, _ := event.About(r.Event); server.Name == replica &&
			(kind == "hung" || slices.Contains(strings.Fields(list), kind)) {
			kinds = append(kinds, kind)
		}
	}
	return strings.Join(kinds, " ")
}

// next returns a specification of the next version, which replaces the one that a deployment runs.
func next(spec Spec) Spec {
	spec.Version = "next"
	return spec
}

// TestSingletonOverUpgrade: what runs once is started in the next version when it has ended in the
// old one; everything else is started before. Meanwhile no call is lost.
func TestSingletonOverUpgrade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conf     string
		solo     string // group of what runs once
		replicas int
		early    string // what runs in both versions at the same time
	}{
		"apart":    {rest("Solo"), "solo", 2, "rest"},
		"together": {rest(), "rest", 1, ""}, // then nothing of the next version can start before
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := specOf(t, "testapp", c.conf)
			d := deploy(t, spec)
			before := d.all(c.replicas)
			old := find(before, "", d.pid("/solo"))

			upgraded := make(chan error, 1)
			go func() { upgraded <- d.Upgrade(t.Context(), next(spec)) }()
			var pids []int
			d.until("calls reach the next version's", func(s control.Status) bool {
				pids = append(pids, d.pid("/solo"))
				return pids[len(pids)-1] != old.Pid
			})
			if err := <-upgraded; err != nil {
				t.Fatal(err)
			}
			after := d.all(c.replicas)
			solo := find(after, "", pids[len(pids)-1])
			if solo.Name != old.Name || solo.Version != "next" {
				t.Errorf("calls are answered by %+v", solo)
			}
			if pid := d.pid("/solo"); pid != solo.Pid {
				t.Errorf("calls reach process %d, then %d", solo.Pid, pid)
			}

			d.launcher.mu.Lock()
			history := slices.Clone(d.launcher.history)
			d.launcher.mu.Unlock()
			last := func(what string) int {
				for i, h := range slices.Backward(history) {
					if h == what {
						return i
					}
				}
				return -1
			}
			once := c.solo + "-0"
			if started := last("started " + once); last("ended "+once) < 0 || started < last("ended "+once) {
				t.Errorf("two of what runs once: %q", history)
			}
			if c.early != "" {
				name := c.early + "-0"
				if started := last("started " + name); started < 1 || started > last("ended "+name) {
					t.Errorf("%s of the next version did not start first: %q", c.early, history)
				}
			}
			d.stop()
		})
	}
}

// TestUpgradeThatFails: a version that does not run starts nothing that runs once, and disturbs
// nobody.
func TestUpgradeThatFails(t *testing.T) {
	t.Parallel()
	spec := specOf(t, "testapp", rest("Solo")+"[divisi]\nrestart = { intensity = 1, backoff = \"1ms\" }\n")
	d := deploy(t, spec)
	before := d.all(2)
	bad := next(spec)
	bad.Binary = "/nowhere/testapp"
	err := d.Upgrade(t.Context(), bad)
	if err == nil || !strings.Contains(err.Error(), "rest-0@/testapp has failed: ") {
		t.Errorf("Upgrade: %v", err)
	}
	for _, r := range d.all(2).Replicas {
		if was := find(before, r.Name, 0); was.Pid != r.Pid || r.Restarts != 0 || r.Version == bad.Version {
			t.Errorf("%s was disturbed: %+v", r.Name, r)
		}
	}
	d.pid("/solo")
	d.launcher.mu.Lock()
	if slices.Contains(d.launcher.history, "started solo-0~2") {
		t.Errorf("two of what runs once: %q", d.launcher.history)
	}
	d.launcher.mu.Unlock()
	d.stop()
}
