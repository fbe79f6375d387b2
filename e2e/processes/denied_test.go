//go:build linux || darwin

package processes_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/envelope/runtime"
)

// guard deploys the test's application as two processes, the main component and the rest, and
// decides by their certificates what they may do.
type guard struct {
	t         *testing.T
	denied    string           // the component that nobody may call
	refused   map[string]error // why a component may not be where it is
	root      *x509.Certificate
	key       *ecdsa.PrivateKey
	rest      *envelope.Envelope
	listening chan string // addresses

	mu      sync.Mutex // guards clients
	clients int        // that were verified
}

// guarded answers one of the two processes.
type guarded struct {
	*guard
	name     string
	envelope *envelope.Envelope
}

// others are the components besides the main one.
var others = []string{
	component("A"), component("B"), component("C"), component("Crash"), component("Probe"), component("Loner"),
}

// run runs the application until the test ends, and returns the address of its pages.
func (g *guard) run(t *testing.T) (url string) {
	t.Helper()
	g.t, g.listening = t, make(chan string, 1)
	var err error
	if g.root, g.key, err = issue("the test", nil, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var serving sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		serving.Wait()
	})
	for _, name := range []string{"rest", "main"} {
		e, err := envelope.NewEnvelope(ctx, &protos.EnvelopeInfo{
			App: "testapp", DeploymentId: "v1", Id: name, RunMain: name == "main", Mtls: true, InternalAddress: "localhost:0",
		}, &protos.AppConfig{Name: "testapp", Binary: binary(t, "testapp")})
		if err != nil {
			t.Fatal(err)
		}
		components := []string{runtime.Main}
		if name == "rest" {
			g.rest, components = e, others
		}
		serving.Go(func() {
			if err := e.Serve(guarded{g, name, e}); ctx.Err() == nil {
				t.Errorf("%s has ended: %v", name, err)
			}
		})
		if err := e.UpdateComponents(components); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case address := <-g.listening:
		return "http://" + address
	case <-time.After(patience):
		t.Fatal("no listener")
	}
	return ""
}

// issue returns a certificate for a name, by a parent or else by itself.
func issue(name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: parent == nil, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// who returns the name in a certificate that was issued here.
func (g *guard) who(chain [][]byte) (string, error) {
	if len(chain) != 1 {
		return "", fmt.Errorf("a chain of %d certificates", len(chain))
	}
	cert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return "", err
	}
	return cert.Subject.CommonName, cert.CheckSignatureFrom(g.root)
}

func (h guarded) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error) {
	cert, key, err := issue(h.name, h.root, h.key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return &protos.GetSelfCertificateReply{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}, err
}

func (h guarded) VerifyClientCertificate(_ context.Context, req *protos.VerifyClientCertificateRequest) (*protos.VerifyClientCertificateReply, error) {
	who, err := h.who(req.CertChain)
	if err == nil && (h.name != "rest" || who != "main") {
		err = fmt.Errorf("%s calls %s", who, h.name)
	}
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.clients++
	h.mu.Unlock()
	return &protos.VerifyClientCertificateReply{
		Components: slices.DeleteFunc(slices.Clone(others), func(c string) bool { return c == h.denied }),
	}, nil
}

func (h guarded) VerifyServerCertificate(_ context.Context, req *protos.VerifyServerCertificateRequest) (*protos.VerifyServerCertificateReply, error) {
	who, err := h.who(req.CertChain)
	if err == nil && (h.name != "main" || who != "rest") {
		err = fmt.Errorf("%s is called by %s", who, h.name)
	}
	return &protos.VerifyServerCertificateReply{}, errors.Join(err, h.refused[req.TargetComponent])
}

func (h guarded) ActivateComponent(_ context.Context, req *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	info := &protos.RoutingInfo{Component: req.Component, Local: h.name == "rest"}
	if !info.Local {
		info.Replicas = []string{h.rest.WeaveletInfo().DialAddr}
	}
	return &protos.ActivateComponentReply{}, h.envelope.UpdateRoutingInfo(info)
}

func (h guarded) GetListenerAddress(context.Context, *protos.GetListenerAddressRequest) (*protos.GetListenerAddressReply, error) {
	return &protos.GetListenerAddressReply{Address: "localhost:0"}, nil
}

func (h guarded) ExportListener(_ context.Context, req *protos.ExportListenerRequest) (*protos.ExportListenerReply, error) {
	h.listening <- req.Address
	return &protos.ExportListenerReply{}, nil
}

func (h guarded) HandleLogEntry(_ context.Context, entry *protos.LogEntry) error {
	_, err := fmt.Fprintln(h.t.Output(), h.name, entry.Level, entry.Msg, entry.Attrs)
	return err
}

func (h guarded) HandleTraceSpans(context.Context, *protos.TraceSpans) error { return nil }

// mixed asks for pages that call the same process: one that calls Crash and Loner, whose answer
// must be an error of the call of Loner alone that has the text, and one that calls A.
func mixed(t *testing.T, url, text string) {
	t.Helper()
	ask := func() error {
		_, err := page(t.Context(), url+"/touch?n=1000")
		return err
	}
	if !poll(t, func() bool { err := ask(); return err != nil && strings.Contains(err.Error(), text) }) {
		t.Fatalf("Loner never fails with %q: %v", text, ask())
	}
	pid := ""
	for range 2 {
		err := ask()
		if err == nil || !strings.Contains(err.Error(), component("Loner")+".Touch: ") ||
			!strings.Contains(err.Error(), text) || strings.Contains(err.Error(), component("Crash")) {
			t.Errorf("the page's error %v is not that Loner alone fails with %q", err, text)
		}
		body, err := page(t.Context(), url+"/direct?n=0")
		if pid == "" {
			pid = body
		}
		if err != nil || body != pid {
			t.Errorf("A calls C in the process %q, which was %q: %v", body, pid, err)
		}
	}
}

// TestEnvelopeDeniesClient: a caller learns that it may not call one component of a process, and
// goes on to call the others over the connections that it has.
func TestEnvelopeDeniesClient(t *testing.T) {
	t.Parallel()
	g := &guard{denied: component("Loner")}
	mixed(t, g.run(t), "the caller may not call "+component("Loner"))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clients != 3 {
		t.Errorf("%d connections were verified, want one for each of A, Crash and Loner", g.clients)
	}
}

// TestEnvelopeRefusesServer: a caller learns why the process that it has found is not to be
// believed for one component, and goes on to call others there.
func TestEnvelopeRefusesServer(t *testing.T) {
	t.Parallel()
	g := &guard{refused: map[string]error{component("Loner"): errors.New("the test keeps Loner elsewhere")}}
	mixed(t, g.run(t), "the deployer refuses the server for "+component("Loner")+": the test keeps Loner elsewhere")
}
