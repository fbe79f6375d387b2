package estate

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/launch"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

var update = flag.Bool("update", false, "write testdata")

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// process is a replica as the keeper has it; born is the number of its first start.
func process(group, number, version string, born uint64, state lifecycle.State) keeper.Proc {
	return keeper.Proc{
		ID: keeper.ID{Domain: "/shop", Name: group + "-" + number}, Born: born, Pid: int(born), State: state,
		Started: start.Add(time.Duration(born) * time.Second),
		Labels: map[string]string{
			launch.LabelApp: "shop", launch.LabelVersion: version, launch.LabelGroup: group, launch.LabelReplica: number,
		},
	}
}

// spec is what a record says of a version: main, and a cart with two replicas.
func spec(version string) deployer.Spec {
	return deployer.Spec{
		Name: "shop", Version: version, Binary: "/cas/shop",
		Config: config.App{Groups: []config.Group{
			{Name: "main", Components: []string{"shop/Main"}, Replicas: 1},
			{Name: "cart", Components: []string{"shop/cart/Cart"}, Replicas: 2},
		}},
		Components: []codegen.Info{
			{Name: "shop/Main", Main: true, Refs: []string{"shop/cart/Cart"}, Listeners: []string{"web"}},
			{Name: "shop/cart/Cart"},
		},
	}
}

// TestStatus keeps what is said of an application that nobody decides about: during an upgrade, of which one
// replica waits for its next start.
func TestStatus(t *testing.T) {
	waits := process("cart", "1", "two", 6, lifecycle.Backoff)
	waits.Pid, waits.Restarts = 0, 3
	waits.LastExit = &keeper.Exit{Code: -1, Signal: "killed", How: keeper.Waited, Time: start}
	replicas := []keeper.Proc{
		process("cart", "0", "two", 5, lifecycle.Ready),
		waits,
		process("cart", "0", "one", 2, lifecycle.Ready),
		process("main", "0", "two", 4, lifecycle.Ready),
		process("main", "0", "one", 1, lifecycle.Ready),
	}
	sockets := []keeper.Socket{
		{Domain: "/shop", Key: "web", Network: "tcp", Actual: "0.0.0.0:80"},
		{Domain: "/shop/below", Key: "other", Network: "tcp", Actual: "127.0.0.1:81"},
	}
	specs := map[string]deployer.Spec{"one": spec("one"), "two": spec("two")}

	got, err := json.MarshalIndent(statusOf("/shop", replicas, sockets, specs), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const file = "testdata/status.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\ngot\n%s\nwant\n%s", err, got, want)
	}
}

// TestState: the newest version says how the application is, and what it has not started yet is not missed.
func TestState(t *testing.T) {
	specs := map[string]deployer.Spec{"one": spec("one"), "two": spec("two")}
	main := process("main", "0", "two", 4, lifecycle.Ready)
	for _, test := range []struct {
		about string
		more  []keeper.Proc
		specs map[string]deployer.Spec
		want  string
	}{
		{"a group that nobody has used", nil, specs, "running"},
		{"all of a group", []keeper.Proc{process("cart", "0", "two", 5, lifecycle.Ready), process("cart", "1", "two", 6, lifecycle.Ready)}, specs, "running"},
		{"half of a group", []keeper.Proc{process("cart", "0", "two", 5, lifecycle.Ready)}, specs, "degraded"},
		{"one that starts", []keeper.Proc{process("cart", "0", "two", 5, lifecycle.Ready), process("cart", "1", "two", 6, lifecycle.Starting)}, specs, "starting"},
		{"one that has failed", []keeper.Proc{process("cart", "0", "two", 5, lifecycle.Failed), process("cart", "1", "two", 6, lifecycle.Starting)}, specs, "degraded"},
		{"an older version that has failed", []keeper.Proc{process("main", "0", "one", 1, lifecycle.Failed)}, specs, "running"},
		{"versions without records", []keeper.Proc{process("cart", "0", "two", 5, lifecycle.Ready)}, nil, "running"},
	} {
		got := statusOf("/shop", append([]keeper.Proc{main}, test.more...), nil, test.specs)
		if got.State != test.want || got.Version != "two" || got.App != "shop" || !got.Unattended {
			t.Errorf("%s: %+v, want %s", test.about, got, test.want)
		}
		if !slices.ContainsFunc(got.Replicas, func(r control.ReplicaStatus) bool { return r.Name == "main-0@/shop" }) {
			t.Errorf("%s: main is not there: %+v", test.about, got.Replicas)
		}
	}
}
