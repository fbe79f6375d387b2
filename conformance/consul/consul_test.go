// Package consul has Consul's own client use the store.
package consul

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
)

// binary is the store.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "consul")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "divisi-store")
	build := exec.Command("go", "build", "-o", binary, "github.com/divisi-go/divisi/store/cmd/divisi-store")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, err := build.CombinedOutput()
	code := 1
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, said)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// serve starts a store, and returns where it serves Consul's API.
func serve(t *testing.T) string {
	t.Helper()
	_, consuls := serveAt(t)
	return consuls
}

// serveAt starts a store, and returns where it serves its own API, and Consul's.
func serveAt(t *testing.T) (own, consuls string) {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--consul-addr", "127.0.0.1:0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("SIGTERM ends the store with %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	for own == "" && lines.Scan() {
		if _, url, is := strings.Cut(lines.Text(), "ready to serve Consul's API at http://"); is {
			consuls = url
		}
		if _, url, is := strings.Cut(lines.Text(), "ready to serve client requests at http://"); is {
			own = url
		}
	}
	if consuls == "" {
		t.Fatal("the store does not say where it serves Consul's API")
	}
	return own, consuls
}

func connect(t *testing.T) *api.Client {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: serve(t), Token: "ignored"})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// must returns what a call has answered.
func must[T any](t *testing.T) func(T, any, error) T {
	return func(answer T, _ any, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestKV: keys, prefixes, flags, comparing, deleting and waiting.
func TestKV(t *testing.T) {
	t.Parallel()
	kv := connect(t).KV()
	if pair, meta, err := kv.Get("none", nil); err != nil || pair != nil || meta.LastIndex == 0 || !meta.KnownLeader {
		t.Fatalf("no key is %v, %+v, %v", pair, meta, err)
	}
	_, err := kv.Put(&api.KVPair{Key: "d/a b/ü?#", Value: []byte("v"), Flags: 1 << 63}, nil)
	fine(t, err)
	pair, meta, err := kv.Get("d/a b/ü?#", nil)
	if err != nil || string(pair.Value) != "v" || pair.Flags != 1<<63 || meta.LastIndex != pair.ModifyIndex || meta.LastContact != 0 {
		t.Fatalf("it is %+v, %+v, %v", pair, meta, err)
	}

	if swapped, _, err := kv.CAS(&api.KVPair{Key: pair.Key, ModifyIndex: pair.ModifyIndex - 1}, nil); swapped || err != nil {
		t.Errorf("an old index is %v, %v", swapped, err)
	}
	if swapped, _, err := kv.CAS(&api.KVPair{Key: pair.Key, Value: []byte("w"), ModifyIndex: pair.ModifyIndex}, nil); !swapped || err != nil {
		t.Errorf("the index is %v, %v", swapped, err)
	}
	_, err = kv.Put(&api.KVPair{Key: "d/e/f", Value: nil}, nil)
	fine(t, err)
	if keys := must[[]string](t)(kv.Keys("d/", "/", nil)); !slices.Equal(keys, []string{"d/a b/", "d/e/"}) {
		t.Errorf("the keys are %q", keys)
	}

	listed := make(chan api.KVPairs, 1)
	all, meta, err := kv.List("d/", nil)
	if err != nil || len(all) != 2 {
		t.Fatalf("there are %v, %v", all, err)
	}
	go func() {
		all, _, _ := kv.List("d/", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
		listed <- all
	}()
	_, err = kv.DeleteTree("d/a", nil)
	fine(t, err)
	if all := <-listed; len(all) != 1 || all[0].Key != "d/e/f" {
		t.Errorf("who has waited gets %v", all)
	}
	deleted, _, err := kv.DeleteCAS(all[1], nil)
	if !deleted || err != nil {
		t.Errorf("it is deleted: %v, %v", deleted, err)
	}
}

// TestTxn: a transaction does all or nothing, and says why.
func TestTxn(t *testing.T) {
	t.Parallel()
	client := connect(t)
	ok, answer, _, err := client.KV().Txn(api.KVTxnOps{
		{Verb: api.KVSet, Key: "a", Value: []byte("1")},
		{Verb: api.KVGet, Key: "a"},
		{Verb: api.KVCheckNotExists, Key: "b"},
	}, nil)
	if !ok || err != nil || len(answer.Results) != 2 || string(answer.Results[1].Value) != "1" {
		t.Errorf("it is %v, %+v, %v", ok, answer, err)
	}
	done, failed, _, err := client.Txn().Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVDelete, Key: "a"}},
		{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "none"}},
		{KV: &api.KVTxnOp{Verb: api.KVLock, Key: "a"}},
		{KV: &api.KVTxnOp{Verb: api.KVCAS, Key: "a", Index: 1}},
	}, nil)
	if done || err != nil || len(failed.Errors) != 3 {
		t.Fatalf("it is %v, %+v, %v", done, failed, err)
	}
	for i, says := range []string{"doesn't exist", "missing session", "index is stale"} {
		if e := failed.Errors[i]; e.OpIndex != i+1 || !strings.Contains(e.What, says) {
			t.Errorf("the failure is %+v", e)
		}
	}
}

// TestSession: sessions are made, renewed, listed and destroyed.
func TestSession(t *testing.T) {
	t.Parallel()
	client := connect(t)
	session := client.Session()
	id := must[string](t)(session.Create(&api.SessionEntry{Name: "s", TTL: "10s", Behavior: api.SessionBehaviorDelete, LockDelay: time.Second}, nil))
	entry := must[*api.SessionEntry](t)(session.Renew(id, nil))
	node, err := client.Agent().NodeName()
	fine(t, err)
	if entry.Name != "s" || entry.Node != node || entry.LockDelay != time.Second || !slices.Equal(entry.NodeChecks, []string{"serfHealth"}) {
		t.Errorf("it is %+v", entry)
	}
	other := must[string](t)(session.CreateNoChecks(nil, nil))
	if all := must[[]*api.SessionEntry](t)(session.List(nil)); len(all) != 2 {
		t.Errorf("there are %+v", all)
	}
	if all := must[[]*api.SessionEntry](t)(session.Node(node, nil)); len(all) != 2 {
		t.Errorf("on the node there are %+v", all)
	}
	if entry := must[*api.SessionEntry](t)(session.Info(other, nil)); entry == nil || len(entry.NodeChecks) != 0 {
		t.Errorf("the other one is %+v", entry)
	}
	_, err = session.Destroy(id, nil)
	fine(t, err)
	if entry := must[*api.SessionEntry](t)(session.Renew(id, nil)); entry != nil {
		t.Errorf("one that was destroyed is renewed: %+v", entry)
	}
}

// TestLock: one has the lock; who loses its session loses the lock, and the next one gets it.
func TestLock(t *testing.T) {
	t.Parallel()
	client := connect(t)
	options := &api.LockOptions{Key: "lock", SessionOpts: &api.SessionEntry{LockDelay: time.Nanosecond, TTL: "10s"}}
	first, err := client.LockOpts(options)
	fine(t, err)
	lost, err := first.Lock(nil)
	fine(t, err)
	second, err := client.LockOpts(options)
	fine(t, err)
	got := make(chan error, 1)
	go func() {
		_, err := second.Lock(nil)
		got <- err
	}()
	select {
	case <-got:
		t.Fatal("two have the lock")
	case <-time.After(200 * time.Millisecond):
	}
	pair := must[*api.KVPair](t)(client.KV().Get("lock", nil))
	if pair.Session == "" || pair.LockIndex != 1 || pair.Flags != api.LockFlagValue {
		t.Errorf("the lock is %+v", pair)
	}
	_, err = client.Session().Destroy(pair.Session, nil)
	fine(t, err)
	<-lost
	fine(t, <-got)
	if err := second.Unlock(); err != nil {
		t.Error(err)
	}
	if err := second.Destroy(); err != nil {
		t.Error(err)
	}
}

// TestSemaphore: two of three have one of two slots.
func TestSemaphore(t *testing.T) {
	t.Parallel()
	client := connect(t)
	var all []*api.Semaphore
	for range 3 {
		s, err := client.SemaphorePrefix("semaphore", 2)
		fine(t, err)
		all = append(all, s)
	}
	for _, s := range all[:2] {
		_, err := s.Acquire(nil)
		fine(t, err)
	}
	got := make(chan error, 1)
	go func() {
		held, err := all[2].Acquire(nil)
		if held == nil {
			err = errors.Join(err, errors.New("it is not held"))
		}
		got <- err
	}()
	select {
	case <-got:
		t.Fatal("three have two slots")
	case <-time.After(200 * time.Millisecond):
	}
	fine(t, all[0].Release())
	fine(t, <-got)
	fine(t, all[1].Release())
	fine(t, all[2].Release())
	fine(t, all[2].Destroy())
}

// TestServices: an agent registers a service with a check by TTL, which the catalog and the health of it show.
func TestServices(t *testing.T) {
	t.Parallel()
	client := connect(t)
	agent, health := client.Agent(), client.Health()
	fine(t, agent.ServiceRegister(&api.AgentServiceRegistration{
		Name: "web", ID: "web1", Tags: []string{"v1"}, Port: 80, Meta: map[string]string{"k": "v"}, Locality: &api.Locality{Region: "r"},
		Check: &api.AgentServiceCheck{TTL: "10m", DeregisterCriticalServiceAfter: "30m"},
	}))
	if passing := must[[]*api.ServiceEntry](t)(health.Service("web", "", true, nil)); len(passing) != 0 {
		t.Errorf("before its check it passes: %+v", passing)
	}
	_, meta, err := health.Service("web", "v1", false, nil)
	fine(t, err)
	told := make(chan []*api.ServiceEntry, 1)
	go func() {
		entries, _, _ := health.Service("web", "v1", true, &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
		told <- entries
	}()
	fine(t, agent.UpdateTTL("service:web1", "fine", api.HealthPassing))
	if entries := <-told; len(entries) != 1 || entries[0].Checks.AggregatedStatus() != api.HealthPassing || entries[0].Service.Meta["k"] != "v" {
		t.Errorf("who has waited gets %+v", entries)
	}
	fine(t, agent.PassTTL("service:web1", "fine"))
	if services := must[map[string][]string](t)(client.Catalog().Services(nil)); !slices.Equal(services["web"], []string{"v1"}) || services["consul"] == nil {
		t.Errorf("the services are %v", services)
	}
	instances := must[[]*api.CatalogService](t)(client.Catalog().Service("web", "v1", &api.QueryOptions{Filter: `ServiceMeta.k == "v"`}))
	if len(instances) != 1 || instances[0].ServicePort != 80 || instances[0].Address == "" {
		t.Errorf("the instances are %+v", instances)
	}
	if own, err := agent.Services(); err != nil || own["web1"] == nil || own["web1"].Port != 80 {
		t.Errorf("the agent has %v, %v", own, err)
	}
	fine(t, agent.FailTTL("service:web1", "bad"))
	if checks := must[api.HealthChecks](t)(health.State(api.HealthCritical, nil)); len(checks) != 1 || checks[0].Output != "bad" {
		t.Errorf("critical are %+v", checks)
	}
	fine(t, agent.ServiceDeregister("web1"))
	if instances := must[[]*api.CatalogService](t)(client.Catalog().Service("web", "", nil)); len(instances) != 0 {
		t.Errorf("left are %+v", instances)
	}
}

// TestCatalog: nodes of others are registered, with services and checks, and removed.
func TestCatalog(t *testing.T) {
	t.Parallel()
	client := connect(t)
	catalog := client.Catalog()
	_, err := catalog.Register(&api.CatalogRegistration{
		Node: "far", Address: "10.0.0.1", NodeMeta: map[string]string{"zone": "z"},
		Service: &api.AgentService{ID: "db1", Service: "db", Port: 5432},
		Check:   &api.AgentCheck{Node: "far", CheckID: "c", Name: "c", Status: api.HealthPassing, ServiceID: "db1"},
	}, nil)
	fine(t, err)
	if nodes := must[[]*api.Node](t)(catalog.Nodes(&api.QueryOptions{NodeMeta: map[string]string{"zone": "z"}})); len(nodes) != 1 || nodes[0].Node != "far" {
		t.Errorf("the nodes are %+v", nodes)
	}
	node := must[*api.CatalogNode](t)(catalog.Node("far", nil))
	if node.Node.Address != "10.0.0.1" || node.Services["db1"].Port != 5432 {
		t.Errorf("the node is %+v", node)
	}
	if list := must[*api.CatalogNodeServiceList](t)(catalog.NodeServiceList("far", nil)); len(list.Services) != 1 {
		t.Errorf("its services are %+v", list)
	}
	if checks := must[api.HealthChecks](t)(client.Health().Node("far", nil)); len(checks) != 1 || checks[0].ServiceName != "db" {
		t.Errorf("its checks are %+v", checks)
	}
	_, err = catalog.Deregister(&api.CatalogDeregistration{Node: "far"}, nil)
	fine(t, err)
	if services := must[map[string][]string](t)(catalog.Services(nil)); services["db"] != nil {
		t.Errorf("left are %v", services)
	}
	if centers, err := catalog.Datacenters(); err != nil || !slices.Equal(centers, []string{"dc1"}) {
		t.Errorf("the datacenters are %v, %v", centers, err)
	}
	if leader, err := client.Status().Leader(); err != nil || leader == "" {
		t.Errorf("the leader is %q, %v", leader, err)
	}
	if self, err := client.Agent().Self(); err != nil || self["Config"]["Datacenter"] != "dc1" || self["Member"]["Addr"] == nil {
		t.Errorf("the agent is %v, %v", self, err)
	}
}

// TestWatch: the plans of package watch see a change.
func TestWatch(t *testing.T) {
	t.Parallel()
	client := connect(t)
	for _, of := range []map[string]any{
		{"type": "key", "key": "w"}, {"type": "keyprefix", "prefix": "w"}, {"type": "services"}, {"type": "nodes"},
		{"type": "service", "service": "web"}, {"type": "checks"},
	} {
		kind := of["type"].(string)
		plan, err := watch.Parse(of)
		fine(t, err)
		name := "web"
		if kind != "service" {
			name += "-" + kind
		}
		seen := make(chan uint64, 100)
		plan.Handler = func(index uint64, _ any) { seen <- index }
		ended := make(chan error, 1)
		go func() { ended <- plan.RunWithClientAndHclog(client, nil) }()
		if kind != "key" && kind != "service" && kind != "keyprefix" {
			<-seen
		}
		_, err = client.KV().Put(&api.KVPair{Key: "w", Value: []byte(kind)}, nil)
		fine(t, err)
		_, err = client.Catalog().Register(&api.CatalogRegistration{
			Node: "n-" + kind, Address: "10.0.0.1", Service: &api.AgentService{Service: name},
			Check: &api.AgentCheck{CheckID: "c", Name: "c", Status: api.HealthPassing},
		}, nil)
		fine(t, err)
		<-seen
		plan.Stop()
		fine(t, <-ended)
	}
}
