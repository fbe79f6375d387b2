package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/identity"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// office issues certificates, and tells by what to judge others.
type office struct {
	mu        sync.Mutex // guards authority
	authority *identity.Authority
	issued    atomic.Int64
}

var groups = map[string]*protos.Trust_Group{
	"main":  {Components: []string{"t/p/A", "t/p/B"}, Callees: []string{"t/p/B"}},
	"loner": {Components: []string{"t/p/C"}},
}

func (o *office) certify(group string) (*protos.GetSelfCertificateReply, error) {
	o.mu.Lock()
	a := o.authority
	o.mu.Unlock()
	cert, key, err := a.Issue(identity.Subject{Server: name.Replica("app", group, 0), Group: group})
	if err != nil {
		return nil, err
	}
	o.issued.Add(1)
	told := a.Told(nil)
	return &protos.GetSelfCertificateReply{Cert: cert, Key: key, Trust: &protos.Trust{
		Roots: told.Roots, NowMicros: told.Now.UnixMicro(), Groups: groups,
	}}, nil
}

// replace has another authority take over.
func (o *office) replace(a *identity.Authority) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.authority = a
}

// desk is the office as a weavelet of a group asks it. It judges nothing.
type desk struct {
	authority
	*office
	group string
}

func (d desk) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error) {
	return d.certify(d.group)
}

func (o *office) credentials(t *testing.T, group string) *credentials {
	t.Helper()
	c, err := newCredentials(t.Context(), desk{office: o, group: group}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// proxy is in the way of connections to a weavelet, and cuts them.
type proxy struct {
	l net.Listener

	mu       sync.Mutex // guards what follows
	to       string     // an address
	open     []net.Conn
	accepted int
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			to := p.to
			p.mu.Unlock()
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, near, far)
			p.accepted++
			p.mu.Unlock()
			running.Go(func() { io.Copy(near, far); near.Close() })
			running.Go(func() { io.Copy(far, near); far.Close() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cut()
		running.Wait()
	})
	return p
}

// lead has connections lead to an address.
func (p *proxy) lead(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

// cut cuts all connections, and returns how many there have been.
func (p *proxy) cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.open {
		conn.Close()
	}
	p.open = nil
	return p.accepted
}

// circle is weavelets, the A of each of which calls the B of the next one through a proxy.
type circle struct {
	*office
	t     *testing.T
	peers []*peer
	epoch uint64
}

// peer is one of the weavelets.
type peer struct {
	*circle
	number int
	socket net.Listener // of its deployers
	proxy  *proxy
	work   chan func(doer) // done by its program
}

// conversation is what a deployer answers a peer. Its methods that are not here are not expected.
type conversation struct {
	envelope.EnvelopeHandler
	*peer
	e *envelope.Envelope
}

func (c conversation) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error) {
	return c.certify("main")
}

func (c conversation) ActivateComponent(_ context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	info := &protos.RoutingInfo{Component: r.Component, Local: r.Component == "t/p/A"}
	if !info.Local {
		next := c.peers[(c.number+1)%len(c.peers)]
		info.Replicas = []string{"mtls://tcp://" + next.proxy.l.Addr().String()}
	}
	return &protos.ActivateComponentReply{}, c.e.UpdateRoutingInfo(info)
}

func (c conversation) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }

func (c conversation) HandleLogEntry(_ context.Context, e *protos.LogEntry) error {
	fmt.Fprintln(c.t.Output(), c.number, e.Level, e.Msg, e.Attrs)
	return nil
}

// newCircle starts so many weavelets, which end with the test.
func newCircle(t *testing.T, n int, authority *identity.Authority) *circle {
	t.Helper()
	c := &circle{office: &office{authority: authority}, t: t}
	for i := range n {
		path := filepath.Join(t.TempDir(), "s")
		socket, err := net.Listen("unix", path)
		if err != nil {
			t.Skipf("there are no Unix sockets here: %v", err)
		}
		t.Cleanup(func() { socket.Close() })
		p := &peer{circle: c, number: i, socket: socket, proxy: newProxy(t), work: make(chan func(doer))}
		c.peers = append(c.peers, p)

		w := newWorld(t, map[string]*behaviour{
			"A": {Refs: []string{"B"}, Do: forward("B")},
			"B": {Do: func(_ context.Context, _ self, words []string) ([]string, error) { return words, nil }},
		})
		ended := make(chan error, 1)
		ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
		go func() {
			ended <- serveDeployed(ctx, w.app, deployment{
				files: inherit.Files{Envelope: path}, gone: func() {},
				program: func(_ context.Context, app *weavelet.Weavelet, _ func(context.Context) error) error {
					for f := range p.work {
						f(client[a](t, app))
					}
					return nil
				},
			})
		}()
		t.Cleanup(func() {
			close(p.work)
			end() // a program that has returned would wait for a deployer
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("weavelet %d ends with %v", i, err)
			}
		})
	}
	return c
}

// attend has a deployer take all weavelets over. The function that it returns has it go.
func (c *circle) attend() (gone func()) {
	c.t.Helper()
	c.epoch++
	ctx, cancel := context.WithCancel(c.t.Context())
	var serving sync.WaitGroup
	var all []*envelope.Envelope
	for i, p := range c.peers {
		conn, err := p.socket.Accept()
		if err != nil {
			c.t.Fatal(err)
		}
		e, err := envelope.Accept(ctx, conn, func(int) (*protos.EnvelopeInfo, error) {
			return &protos.EnvelopeInfo{
				App: "app", DeploymentId: "v1", Id: fmt.Sprint("w", i), RunMain: true, Mtls: true, Group: "main",
				InternalAddress: "localhost:0", Features: []string{"extensions"}, Epoch: c.epoch,
			}, nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
		p.proxy.lead(strings.TrimPrefix(e.WeaveletInfo().DialAddr, "mtls://tcp://"))
		serving.Go(func() { e.Serve(conversation{peer: p, e: e}) })
		serving.Go(func() { beat(ctx, e) })
		all = append(all, e)
	}
	for _, e := range all {
		if err := e.UpdateComponents([]string{"t/p/A", "t/p/B"}); err != nil {
			c.t.Fatal(err)
		}
	}

	gone = sync.OnceFunc(func() {
		cancel()
		for _, e := range all {
			e.Close()
		}
		serving.Wait()
	})
	c.t.Cleanup(gone)
	return gone
}

// beat asks for health once a second.
func beat(ctx context.Context, e *envelope.Envelope) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-second.C:
			e.Health(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// call has the A of a weavelet call the B of the next one.
func (p *peer) call() error {
	called := make(chan error, 1)
	p.work <- func(a doer) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := a.Do(ctx, []string{"x"})
		called <- err
	}
	return <-called
}

// callAgain calls over a new connection.
func (p *peer) callAgain(when string) {
	p.t.Helper()
	before := p.proxy.cut()
	if err := p.call(); err != nil {
		p.t.Errorf("a call %s: %v", when, err)
	}
	if after := p.proxy.cut(); after == before {
		p.t.Errorf("the call %s has used an old connection", when)
	}
}

// until waits until so many certificates have been issued.
func (o *office) until(t *testing.T, n int64) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); o.issued.Load() < n; {
		if time.Now().After(deadline) {
			t.Fatalf("there are %d certificates, want %d", o.issued.Load(), n)
		}
		<-time.After(time.Millisecond)
	}
}

// TestMutualTLSAlone: while there is no deployer, connections are made, and whoever may not call is refused
// with the reason. The next deployer is asked for a certificate at once, whether it has the keys of the one
// before or not.
func TestMutualTLSAlone(t *testing.T) {
	a := identity.NewAuthority("v1", identity.Options{})
	c := newCircle(t, 1, a)
	p := c.peers[0]
	gone := c.attend()
	p.callAgain("with a deployer")
	gone()
	p.callAgain("without a deployer")

	registry := newWorld(t, map[string]*behaviour{"A": {}, "B": {}}).Registry
	address := "mtls://tcp://" + p.proxy.l.Addr().String()
	for group, want := range map[string]string{"main": "", "loner": "the caller may not call t/p/B"} {
		err := callOnce(t, registry, c.credentials(t, group), address, "t/p/B", "t/p/B")
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("a call of a replica of %s: %v, want %q", group, err, want)
		}
	}
	strangers := &office{authority: identity.NewAuthority("v1", identity.Options{})}
	err := callOnce(t, registry, strangers.credentials(t, "main"), address, "t/p/B", "t/p/B")
	wantError(t, err, nil, "the server for t/p/B is refused: the certificate is not of this deployment")

	record, err := a.Record()
	if err != nil {
		t.Fatal(err)
	}
	next, err := identity.ResumeAuthority("v1", record, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for when, a := range map[string]*identity.Authority{
		"with the keys of before": next, "with other keys": identity.NewAuthority("v1", identity.Options{}),
	} {
		c.replace(a)
		before := c.issued.Load()
		gone = c.attend()
		c.until(t, before+1)
		gone()
		p.callAgain("after a deployer " + when)
	}
}

// TestRefusedAlone: who is told by what to judge refuses servers and clients as the deployer would.
func TestRefusedAlone(t *testing.T) {
	o := &office{authority: identity.NewAuthority("v1", identity.Options{})}
	main, loner := o.credentials(t, "main"), o.credentials(t, "loner")
	l, err := tls.Listen("tcp", "127.0.0.1:0", loner.leaf.Server())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var accepting sync.WaitGroup
	defer accepting.Wait()
	defer l.Close()
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	})
	for component, want := range map[string]string{
		"t/p/C": "",
		"t/p/B": "the server for t/p/B is refused: loner-0@/app, a replica of the group loner, may not host t/p/B",
	} {
		conn, err := tls.Dial("tcp", l.Addr().String(), main.client(component))
		switch {
		case want == "" && err != nil:
			t.Error(err)
		case want != "":
			wantError(t, err, nil, want)
		}
		if err == nil {
			conn.Close()
		}
	}
	_, err = main.authorize(&tls.ConnectionState{})
	wantError(t, err, nil, "the peer has no certificate")
}

// TestBadTrust: what a deployer tells that is of no use is the error of the certificate.
func TestBadTrust(t *testing.T) {
	good := (&office{authority: identity.NewAuthority("v1", identity.Options{})})
	for want, change := range map[string]func(*protos.Trust){
		"no root is trusted":    func(t *protos.Trust) { t.Roots = nil },
		"the time is not told":  func(t *protos.Trust) { t.NowMicros = 0 },
		"a root does not parse": func(t *protos.Trust) { t.Roots[0] = []byte("x") },
	} {
		reply, err := good.certify("main")
		if err != nil {
			t.Fatal(err)
		}
		change(reply.Trust)
		_, err = newCredentials(t.Context(), &fakeAuthority{self: reply}, slog.New(slog.DiscardHandler))
		wantError(t, err, nil, "what the deployer tells of others is not usable: "+want)
	}
}

// TestRenewals renews certificates that live for two seconds a hundred times, and roots with them, while
// weavelets call each other and their connections are cut: no call fails.
func TestRenewals(t *testing.T) {
	c := newCircle(t, 16, identity.NewAuthority("v1", identity.Options{Leaf: 2 * time.Second, Root: time.Second}))
	c.attend()
	over := make(chan struct{})
	var calling sync.WaitGroup
	var calls atomic.Int64
	for _, p := range c.peers {
		calling.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for i := 1; ; i++ {
				select {
				case <-tick.C:
				case <-over:
					return
				}
				if i%32 == 0 { // a call that is cut twice fails, as it should
					p.proxy.cut()
				}
				if err := p.call(); err != nil {
					t.Errorf("weavelet %d, call %d: %v", p.number, i, err)
				}
				calls.Add(1)
			}
		})
	}
	c.until(t, int64(len(c.peers)+100))
	close(over)
	calling.Wait()
	t.Logf("%d calls over %d certificates", calls.Load(), c.issued.Load())
}
