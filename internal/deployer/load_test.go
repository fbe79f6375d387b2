package deployer

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/survey"
)

// hash returns where in the space of keys a key of the component Keyed is.
func hash(key int) (hash uint64) {
	codegen.Serve(context.Background(), &codegen.Component{}, &codegen.MethodInfo{
		Serve: func(_ context.Context, _ any, s *codegen.Served) {
			s.Route(key)
			s.End(nil)
		},
	}, nil, nil, nil, codegen.Hooks{Routed: func(shard uint64) { hash = shard }})
	return hash
}

func keyPath(key int) string { return fmt.Sprintf("/keyed?key=%d", key) }

// owners returns the process that each key is assigned to, as callers were told last.
func (d *deployment) owners(keys int) (owners []int, version uint64) {
	d.t.Helper()
	route, pids := d.told("Keyed"), map[string]int{}
	for _, r := range d.Status().Replicas {
		pids[r.Address] = r.Pid
	}
	for key := range keys {
		owner := 0
		for _, s := range route.Assignment.Slices {
			if s.Start <= hash(key) {
				owner = pids[s.Replica]
			}
		}
		if owner == 0 {
			d.t.Fatalf("the key %d is with none of %+v", key, route)
		}
		owners = append(owners, owner)
	}
	return owners, route.Assignment.Version
}

// followed waits until the call of every key reaches the process that has the key, and returns
// the processes. The deployer must not move keys now.
func (d *deployment) followed(keys int) (owners []int) {
	d.t.Helper()
	d.until("calls reach the owners of their keys", func(control.Status) bool {
		owners, _ = d.owners(keys)
		for key, owner := range owners {
			if d.pid(keyPath(key)) != owner {
				return false
			}
		}
		return true
	})
	return owners
}

// freeze has the deployer move keys no more: it takes the component for one without keys.
func (d *deployment) freeze() {
	d.t.Helper()
	err := d.do(d.t.Context(), func() {
		s := d.sets[0]
		s.spec.Components = slices.Clone(s.spec.Components)
		for i := range s.spec.Components {
			s.spec.Components[i].Routed = false
		}
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// load returns what the weavelet of a replica has to say about its load since the last time.
func (d *deployment) load(replica string) *protos.LoadReport {
	d.t.Helper()
	list, err := d.conversations(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(r survey.Replica) bool { return r.Name == replica })
	report, err := list[i].Conversation.GetLoad()
	if err != nil {
		d.t.Fatal(err)
	}
	return report
}

// TestLoadReport: a weavelet tells how many calls each slice of the keys has had, of each routed
// component, and nothing of those that are not routed or not there.
func TestLoadReport(t *testing.T) {
	t.Parallel()
	const keys = 30
	d := deployWith(t, specOf(t, "testapp", rest("Keyed")), Options{loadEvery: time.Hour})
	status := d.all(3)
	owners := d.followed(keys)
	for _, r := range status.Replicas {
		d.load(r.Name) // begins anew
	}
	calls := map[int]int{} // by key
	total := map[int]int{} // by process
	for key, owner := range owners {
		calls[key] = 1 + key%4
		total[owner] += calls[key]
		for range calls[key] {
			d.pid(keyPath(key))
		}
		d.pid("/lock")
	}
	if len(total) != 2 {
		t.Fatalf("the keys are with %v", owners)
	}
	for _, r := range status.Replicas {
		report := d.load(r.Name)
		if r.Group != "keyed" {
			if len(report.Loads) != 0 {
				t.Errorf("%s, which has nothing that is routed, reports %+v", r.Name, report.Loads)
			}
			continue
		}
		load := report.Loads[testapp+"Keyed"]
		if len(report.Loads) != 1 || load == nil {
			t.Errorf("%s reports %+v", r.Name, report.Loads)
			continue
		}
		sum := 0.0
		for _, s := range load.Load {
			sum += s.Load
		}
		reported := 0
		for _, s := range load.Load {
			called, distinct := 0, uint64(0)
			for key, owner := range owners {
				if h := hash(key); owner == r.Pid && s.Start <= h && h < s.End {
					called += calls[key]
					distinct++
				}
			}
			reported += called
			share := float64(called) / float64(total[r.Pid])
			if called == 0 || math.Abs(s.Load/sum-share) > 1e-9 || s.Size != distinct {
				t.Errorf("%s reports the slice %+v of %v; it had %d of %d calls, for %d keys",
					r.Name, s, sum, called, total[r.Pid], distinct)
			}
		}
		if reported != total[r.Pid] {
			t.Errorf("%s reports %d of %d calls", r.Name, reported, total[r.Pid])
		}
		if again := d.load(r.Name); len(again.Loads) != 0 {
			t.Errorf("%s reports the same calls twice: %+v", r.Name, again.Loads)
		}
	}
	d.stop()
}

// TestKeysFollowLoad: when only keys of one replica are asked for, some of them move to the other
// one, and calls follow. Meanwhile none is lost.
func TestKeysFollowLoad(t *testing.T) {
	t.Parallel()
	const keys = 200
	d := deployWith(t, specOf(t, "testapp", rest("Keyed")), Options{loadEvery: 50 * time.Millisecond})
	d.all(3)
	before, version := d.owners(keys)
	var hot []int
	for key, owner := range before {
		if owner == before[0] {
			hot = append(hot, key)
		}
	}
	if len(hot) == keys || len(hot) < keys/4 {
		t.Fatalf("%d of %d keys are with one replica", len(hot), keys)
	}

	var callers sync.WaitGroup
	enough := make(chan struct{})
	leave := sync.OnceFunc(func() { close(enough) })
	defer callers.Wait()
	defer leave()
	for range 2 {
		callers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-enough:
					return
				default:
				}
				if body, err := d.page(keyPath(hot[i%len(hot)])); err != nil {
					t.Errorf("a call is lost: %v: %s", err, body)
					return
				}
			}
		})
	}
	d.until("a quarter of the hot keys have moved", func(control.Status) bool {
		now, v := d.owners(keys)
		moved := 0
		for _, key := range hot {
			if now[key] != before[key] {
				moved++
			}
		}
		return 4*moved >= len(hot) && v > version
	})
	leave()
	callers.Wait()
	d.freeze()
	after := d.followed(keys)
	if slices.Equal(before, after) {
		t.Error("all keys are where they were")
	}
	d.stop()
}

// TestKeysKeepTheirReplica: keys stay where they are, and all replicas have some.
func TestKeysKeepTheirReplica(t *testing.T) {
	t.Parallel()
	const keys = 40
	spec := specOf(t, "testapp", rest("Keyed"))
	spec.Replicas = map[string]int{"keyed": 3}
	d := deployWith(t, spec, Options{loadEvery: time.Hour})
	d.all(4)
	owners := map[int]bool{}
	for key, owner := range d.followed(keys) {
		if pid := d.pid(keyPath(key)); pid != owner {
			t.Errorf("the key %d was with process %d, and is with %d", key, owner, pid)
		}
		owners[owner] = true
	}
	if len(owners) != 3 {
		t.Errorf("the keys are at %v, not at three replicas", owners)
	}
	d.stop()
}
