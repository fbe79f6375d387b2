package divisitest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/launch"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/process"
	"github.com/divisi-go/divisi/internal/replica"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// Process runs every group of components as processes of its own, two of each: the test's own
// binary, run again for the same test or benchmark up to the call of Test, Bench or Run. The body
// and the fakes run in the test's process, and so do components that the body takes by a pointer.
var Process = Runner{Name: "Process", processes: true}

// Multi is Process by its name in Service Weaver.
var Multi = Process

// testComponent is the name of what calls components in a test. It takes the place of the
// application's own main component.
const testComponent = string(name.Main)

// testGroup is the group of components that run in the test's own process.
const testGroup = "test"

// The application that a test is, and its domain.
const (
	testApp    = "test"
	testDomain = "/" + testApp
)

// startTime bounds the start and the end of the processes of a test.
const startTime = time.Minute

// isWeavelet reports whether this process was started as one by the Process runner.
func isWeavelet() bool { return inherit.Deployed() }

// serveAsWeavelet hosts components until the test ends, and ends the process.
func serveAsWeavelet(registry *codegen.Registry) {
	app := weavelet.Application{Registry: registry, Inspect: weavelet.Inspect()}
	err := process.Run(context.Background(), app, process.Main{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runProcesses runs a body with components in other processes.
func (r Runner) runProcesses(t testing.TB, registry *codegen.Registry, body any, conf config.App,
	fakes map[string]any) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := runtimeDir(t)
	k, err := hold.Open(filepath.Join(dir, "keeper"), filepath.Join(dir, "logs"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer showLogs(t, k)
	session, err := k.Attach(t.Context(), keeper.Claim{Domain: testDomain, Who: t.Name()})
	if err != nil {
		t.Fatal(err)
	}

	here := inTest(registry, body, fakes)
	launcher := &launcher{
		Launcher: launch.NewLauncher(session),
		ready:    make(chan *weavelet.Weavelet, 1),
		done:     make(chan struct{}),
		app:      weavelet.Application{Registry: registry, Inspect: weavelet.Inspect()},
		fakes:    fakes,
		names:    listeners(registry, here),
	}
	d, err := deployer.New(testSpec(t, registry, binary, conf, here), launcher, deployer.Options{
		RuntimeDir: dir,
		HandleLog:  func(e *protos.LogEntry) { fmt.Fprintln(t.Output(), e.Level, e.Msg) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx) }()
	defer func() {
		close(launcher.done)
		cancel()
		select {
		case <-served:
		case <-time.After(startTime):
			d.Kill()
			t.Errorf("the processes have not ended within %v", startTime)
			<-served
		}
	}()
	select {
	case w := <-launcher.ready:
		call(t, w, registry, testComponent, body)
	case err := <-served:
		served <- err
		t.Fatalf("the components cannot run: %v", err)
	case <-time.After(startTime):
		t.Fatalf("the components do not run within %v", startTime)
	}
}

// runtimeDir returns a folder whose path is short enough for sockets.
func runtimeDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "dt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// showLogs ends a keeper, and shows what its processes have printed and logged.
func showLogs(t testing.TB, k *hold.Keeper) {
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	files, _ := filepath.Glob(filepath.Join(k.LogDir(testDomain), "*"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		t.Output().Write(text)
	}
}

// listeners returns the names of the listeners of components.
func listeners(registry *codegen.Registry, components []string) (names []string) {
	for _, component := range components {
		if c, ok := registry.Find(component); ok {
			names = append(names, c.Info.Listeners...)
		}
	}
	return names
}

// inTest returns the names of the components that run in the test's process.
func inTest(registry *codegen.Registry, body any, fakes map[string]any) []string {
	here := slices.Collect(maps.Keys(fakes))
	typ := reflect.TypeOf(body)
	for i := 1; i < typ.NumIn(); i++ {
		if c, err := find(registry, typ.In(i)); err == nil && typ.In(i).Kind() == reflect.Pointer {
			here = append(here, c.Info.Name)
		}
	}
	return here
}

// testSpec describes the deployment: the test is its main component, beside the components here.
func testSpec(t testing.TB, registry *codegen.Registry, binary string, conf config.App,
	here []string) deployer.Spec {
	test := codegen.Info{Name: testComponent, Main: true}
	group := config.Group{Name: testGroup, Components: []string{testComponent}, Replicas: 1}
	spec := deployer.Spec{
		Name: testApp, Binary: binary, Config: conf,
	}
	elsewhere := map[string]bool{}
	for _, c := range registry.Components {
		info := c.Info
		if info.Main {
			if slices.Contains(here, info.Name) {
				test.Listeners = info.Listeners
			}
			continue
		}
		elsewhere[info.Name] = !slices.Contains(here, info.Name)
		test.Refs = append(test.Refs, info.Name)
		spec.Components = append(spec.Components, info)
		if !elsewhere[info.Name] {
			group.Components = append(group.Components, info.Name)
		}
	}
	spec.Components = append(spec.Components, test)
	groups := []config.Group{group}
	for _, g := range conf.Groups {
		g.Components = slices.DeleteFunc(slices.Clone(g.Components), func(name string) bool {
			return !elsewhere[name]
		})
		if len(g.Components) == 0 {
			continue
		}
		if strings.EqualFold(name.Label(g.Name), testGroup) {
			g.Name = g.Components[0]
		}
		groups = append(groups, g)
	}
	spec.Config.Groups = groups
	spec.Config.Args = arguments(t)
	return spec
}

// arguments returns those with which the test's binary runs the same test, or benchmark, only.
func arguments(t testing.TB) []string {
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	if _, ok := t.(*testing.B); ok {
		return []string{"-test.run=^$", "-test.bench=" + pattern}
	}
	return []string{"-test.run=" + pattern}
}

// launcher runs the test's group in the test's own process. All others are processes, as those of
// every deployment. It is a [deployer.Launcher].
type launcher struct {
	deployer.Launcher
	app   weavelet.Application
	fakes map[string]any
	names []string                // of the listeners in the test's own process
	ready chan *weavelet.Weavelet // gets the weavelet there
	done  chan struct{}           // closed when the body has returned

	mu      sync.Mutex // guards sockets
	sockets []inherit.Socket
}

func (l *launcher) Listen(name, address string) (string, error) {
	if !slices.Contains(l.names, name) {
		return l.Launcher.Listen(name, address)
	}

	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets = append(l.sockets, inherit.Socket{Name: name, Listener: listener})
	return listener.Addr().String(), nil
}

func (l *launcher) Launch(launch replica.Launch) (replica.Process, error) {
	if launch.Name != testGroup+"-0" {
		return l.Launcher.Launch(launch)
	}

	theirIn, in, err := os.Pipe()
	if err != nil {
		return replica.Process{}, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return replica.Process{}, errors.Join(err, theirIn.Close(), in.Close())
	}
	return replica.Process{
		Pid: os.Getpid(), In: in, Out: out,
		Exited: l.embed(theirIn, theirOut),
		Signal: func(os.Signal) error { return nil }, // it ends by itself
	}, nil
}

// embed runs the weavelet in the test's own process.
func (l *launcher) embed(in, out *os.File) <-chan control.ExitStatus {
	l.mu.Lock()
	files := inherit.Files{In: in, Out: out, Sockets: inherit.NewSockets(l.sockets...)}
	l.mu.Unlock()
	body := func(ctx context.Context, w *weavelet.Weavelet) error {
		l.ready <- w
		select {
		case <-l.done:
		case <-ctx.Done():
		}
		return nil
	}

	exited := make(chan control.ExitStatus, 1)
	go func() {
		exit := control.ExitStatus{Text: "the test has ended"}
		embedding := process.Embedding{Files: files, Body: body, Fakes: l.fakes}
		if err := process.Embed(context.Background(), l.app, embedding); err != nil {
			exit = control.ExitStatus{Code: 1, Text: err.Error()}
		}
		exit.Time = time.Now()
		exited <- exit
	}()
	return exited
}
