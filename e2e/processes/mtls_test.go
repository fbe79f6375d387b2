//go:build linux || darwin

package processes_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/deployer/mtls"
	"github.com/divisi-go/divisi/internal/identity"
	"github.com/divisi-go/divisi/internal/pipe"
	"github.com/divisi-go/divisi/internal/place"
	"github.com/divisi-go/divisi/internal/replica"
)

// impostors is a launcher that starts no process for some groups, but plays a weavelet that hands
// its certificate to the test.
type impostors struct {
	deployer.Launcher
	groups       []string
	certificates chan impostor // one of each group

	mu      sync.Mutex // guards playing
	playing map[string]*pipe.Weavelet
}

type impostor struct {
	group       string
	certificate tls.Certificate
	err         error
}

func (l *impostors) Launch(launch replica.Launch) (replica.Process, error) {
	for _, group := range l.groups {
		if strings.HasPrefix(launch.Name, group+"-") {
			return l.impersonate(launch.Name, group)
		}
	}
	return l.Launcher.Launch(launch)
}

func (l *impostors) impersonate(name, group string) (replica.Process, error) {
	in, toWeavelet, err := os.Pipe()
	if err != nil {
		return replica.Process{}, err
	}
	fromWeavelet, out, err := os.Pipe()
	if err != nil {
		return replica.Process{}, errors.Join(err, in.Close(), toWeavelet.Close())
	}
	exited := make(chan control.ExitStatus, 1)
	go func() {
		err := l.play(name, group, in, out)
		exited <- control.ExitStatus{Time: time.Now(), Text: fmt.Sprint("the play is over: ", err)}
	}()
	return replica.Process{
		Pid: os.Getpid(), In: toWeavelet, Out: fromWeavelet, Exited: exited,
		Signal: func(os.Signal) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.playing[name].Close()
		},
	}, nil
}

// play is a weavelet that hosts nothing and is always well.
func (l *impostors) play(name, group string, in, out *os.File) error {
	w, _, err := pipe.NewWeavelet(in, out)
	if err != nil {
		return err
	}
	defer w.Close()
	l.mu.Lock()
	l.playing[name] = w
	l.mu.Unlock()
	err = w.Hello(&protos.WeaveletInfo{DialAddr: "mtls://tcp://127.0.0.1:1", Version: &protos.SemVer{Minor: 20}})
	if err != nil {
		return err
	}
	go func() {
		who := impostor{group: group}
		var reply *protos.GetSelfCertificateReply
		if reply, who.err = w.GetSelfCertificate(context.Background(), &protos.GetSelfCertificateRequest{}); who.err == nil {
			who.certificate, who.err = tls.X509KeyPair(reply.Cert, reply.Key)
		}
		l.certificates <- who
	}()
	return w.Serve(context.Background(), well{})
}

// well answers health and forgets everything else.
type well struct{}

func (well) GetHealth(context.Context, *protos.GetHealthRequest) (*protos.GetHealthReply, error) {
	return &protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY, Ready: true}, nil
}

func (well) GetMetrics(context.Context, *protos.GetMetricsRequest) (*protos.GetMetricsReply, error) {
	return &protos.GetMetricsReply{}, nil
}

func (well) GetLoad(context.Context, *protos.GetLoadRequest) (*protos.GetLoadReply, error) {
	return &protos.GetLoadReply{}, nil
}

func (well) GetProfile(context.Context, *protos.GetProfileRequest) (*protos.GetProfileReply, error) {
	return &protos.GetProfileReply{}, nil
}

func (well) UpdateRoutingInfo(context.Context, *protos.UpdateRoutingInfoRequest) (*protos.UpdateRoutingInfoReply, error) {
	return &protos.UpdateRoutingInfoReply{}, nil
}

func (well) UpdateComponents(context.Context, *protos.UpdateComponentsRequest) (*protos.UpdateComponentsReply, error) {
	return &protos.UpdateComponentsReply{}, nil
}

func (well) Drain(context.Context, *protos.DrainRequest) (*protos.DrainReply, error) {
	return &protos.DrainReply{}, nil
}

// TestMTLSDenied has certificates decide who may call whom: the same call, of the same replica, is
// answered for a group with a reference to the component, and refused with the reason for one
// without.
func TestMTLSDenied(t *testing.T) {
	t.Parallel()
	fake := &impostors{
		groups: []string{"loner", "b"}, certificates: make(chan impostor, 2), playing: map[string]*pipe.Weavelet{},
	}
	d := deploy(t, specOf(t, "testapp", groups(map[string][]string{
		"main": {"Main", "Crash", "Probe"}, "a": {"A"}, "b": {"B"}, "c": {"C"}, "loner": {"Loner"},
	})+"[divisi]\nreplicas = 1\n[process]\nmtls = true\n"), deployer.Options{}, func(l deployer.Launcher) deployer.Launcher {
		fake.Launcher = l
		return fake
	})
	status := d.ready(5)
	if pid := d.get("/direct?n=0"); pid != fmt.Sprint(inGroup(status, "c")[0].Pid) {
		t.Errorf("A calls C in the process %s", pid)
	}
	address := inGroup(status, "c")[0].Address
	if !strings.HasPrefix(address, "mtls://") {
		t.Fatalf("C is at %s", address)
	}
	for range fake.groups {
		who := <-fake.certificates
		if who.err != nil {
			t.Fatal(who.err)
		}
		reply, err := callPid(t, address, who.certificate)
		switch {
		case err != nil:
			t.Errorf("%s: %v", who.group, err)
		case who.group == "b" && reply.Status != codegen.StatusOK:
			t.Errorf("b may call C, and is answered %v: %s", reply.Status, reply.Body)
		case who.group == "loner" && (reply.Status != codegen.StatusUnimplemented ||
			string(reply.Body) != "the caller may not call "+component("C")):
			t.Errorf("the loner may not call C, and is answered %v: %s", reply.Status, reply.Body)
		}
	}
}

// callPid calls C.Pid with a certificate.
func callPid(t *testing.T, address string, certificate tls.Certificate) (call.Reply, error) {
	t.Helper()
	generated, err := os.ReadFile("testapp/divisi_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`codegen\.Method\[C\]\{Name: "Pid", Layout: 0x([0-9a-f]+),`).FindSubmatch(generated)
	if found == nil {
		t.Fatal("the generated code has no layout of C.Pid")
	}
	layout, err := strconv.ParseUint(string(found[1]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pool := balance.NewPool(balance.PoolOptions{Dial: func(ctx context.Context, address string) (net.Conn, error) {
		return link.Dial(ctx, address, &tls.Config{
			Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
		})
	}})
	defer pool.Close()
	pool.SetReplicas([]string{address})
	return pool.Call(ctx, &call.Request{Method: codegen.Key(codegen.MethodKey(component("C"), "Pid", layout))})
}

// mtlsApp deploys the test's application as four processes with mutual TLS.
func mtlsApp(t *testing.T, o identity.Options) *deployment {
	t.Helper()
	return mtlsDeployed(t, deployer.Options{Certificates: o})
}

func mtlsDeployed(t *testing.T, o deployer.Options) *deployment {
	t.Helper()
	d := deploy(t, specOf(t, "testapp", groups(map[string][]string{
		"main": {"Main", "Crash", "Probe", "Loner"}, "a": {"A"}, "b": {"B"}, "c": {"C"},
	})+`[divisi]
replicas = 1
restart = { intensity = 1000, window = "5m", backoff = "10ms", max_backoff = "10ms" }
[process]
mtls = true
`), o, nil)
	d.until("C answers", func(control.Status) bool { return d.direct() != "" })
	return d
}

// direct returns the process that answers a call through A to C, "" if none does.
func (d *deployment) direct() string {
	pid, err := page(d.t.Context(), d.url+"/direct?n=0")
	if err != nil {
		d.t.Log(err)
		return ""
	}
	return pid
}

// replace kills the replica of a group, and waits until the application answers with the next one.
func (d *deployment) replace(group string) {
	d.t.Helper()
	before := inGroup(d.Status(), group)[0].Pid
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
	d.until("a call after the replica of "+group+" was replaced", func(s control.Status) bool {
		now := inGroup(s, group)[0].Pid
		if now == 0 || now == before {
			return false
		}
		answers := d.direct()
		return answers != "" && (group != "c" || answers == fmt.Sprint(now))
	})
}

// TestMTLSAge replaces replicas, at either end of a call, for longer than any certificate of the
// deployment lives: all calls are verified, and those over connections that are older than their
// certificates go on. Meanwhile the wall clock jumps by 400 days, and back by ten years, whenever
// somebody looks at it.
func TestMTLSAge(t *testing.T) {
	t.Parallel()
	const root = 8 * time.Second
	jumps := []time.Duration{-10 * 365 * 24 * time.Hour, 400 * 24 * time.Hour, -6 * time.Minute}
	looked := 0
	d := mtlsApp(t, identity.Options{Leaf: root / 4, Root: root, Wall: func() time.Time {
		looked++
		return time.Now().Add(jumps[looked%len(jumps)])
	}})
	start := time.Now()
	main := inGroup(d.Status(), "main")[0].Pid
	for round := 0; round < 4 || time.Since(start) < 2*root; round++ {
		for _, group := range []string{"c", "a"} {
			d.replace(group)
		}
	}
	if now := inGroup(d.Status(), "main")[0].Pid; now != main {
		t.Errorf("main was replaced: its process was %d and is %d", main, now)
	}
}

// safe is a vault in memory.
type safe struct {
	mu   sync.Mutex // guards kept
	kept map[string][]byte
}

var _ mtls.Vault = (*safe)(nil)

func (s *safe) Load(_ context.Context, version string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[version], nil
}

func (s *safe) Save(_ context.Context, version string, secret []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[version] = secret
	return nil
}

// TestMTLSTakeover has processes that have not heard of it recognise what the next deployer certifies, at
// whatever day the wall clock stands when it takes over: the 31st, the 400th, or one ten years ago.
func TestMTLSTakeover(t *testing.T) {
	t.Parallel()
	vault := &safe{kept: map[string][]byte{}}
	d := mtlsDeployed(t, deployer.Options{Vault: vault})
	address := inGroup(d.Status(), "c")[0].Address
	ask := func(days int) (call.Reply, error) {
		t.Helper()
		next, err := mtls.New(t.Context(), mtls.Options{
			App: "testapp", Version: d.Status().Version, Vault: vault,
			Certificates: identity.Options{Wall: func() time.Time { return time.Now().AddDate(0, 0, days) }},
			Warn:         func(text string) { t.Error(text) },
		})
		if err != nil {
			t.Fatal(err)
		}
		reply, err := next.Certify(place.Replica{Group: "a", Number: 1})
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := tls.X509KeyPair(reply.Cert, reply.Key)
		if err != nil {
			t.Fatal(err)
		}
		return callPid(t, address, certificate)
	}
	for _, days := range []int{0, 31, 400, -3650} {
		if reply, err := ask(days); err != nil || reply.Status != codegen.StatusOK {
			t.Errorf("at day %d: %v, %s, %v", days, reply.Status, reply.Body, err)
		}
	}
}

// TestMTLSSilence has more strangers connect to C than it waits for, who say nothing: a new replica
// of A reaches it all the same.
func TestMTLSSilence(t *testing.T) {
	t.Parallel()
	d := mtlsApp(t, identity.Options{})
	c := inGroup(d.Status(), "c")[0]
	address := strings.TrimPrefix(c.Address, "mtls://unix://")
	for range 1100 {
		stranger, err := net.Dial("unix", address)
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
	}
	d.replace("a")
	if got := d.direct(); got != fmt.Sprint(c.Pid) {
		t.Errorf("C answers in the process %s, not in %d", got, c.Pid)
	}
}
