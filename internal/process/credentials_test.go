package process

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// fakeAuthority takes any certificate for what its common name says, but for "stranger".
type fakeAuthority struct {
	self    *protos.GetSelfCertificateReply
	err     error
	targets chan string // that servers were verified for
}

func (f *fakeAuthority) GetSelfCertificate(context.Context, *protos.GetSelfCertificateRequest) (*protos.GetSelfCertificateReply, error) {
	return f.self, f.err
}

func (f *fakeAuthority) who(chain [][]byte) (string, error) {
	cert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return "", err
	}
	if name := cert.Subject.CommonName; name != "stranger" {
		return name, nil
	}
	return "", errors.New("a stranger")
}

func (f *fakeAuthority) VerifyClientCertificate(_ context.Context, r *protos.VerifyClientCertificateRequest) (*protos.VerifyClientCertificateReply, error) {
	who, err := f.who(r.CertChain)
	if err != nil {
		return nil, err
	}
	return &protos.VerifyClientCertificateReply{Components: strings.Fields(who)}, nil
}

func (f *fakeAuthority) VerifyServerCertificate(_ context.Context, r *protos.VerifyServerCertificateRequest) (*protos.VerifyServerCertificateReply, error) {
	f.targets <- r.TargetComponent
	who, err := f.who(r.CertChain)
	if err == nil && !slices.Contains(strings.Fields(who), r.TargetComponent) {
		err = errors.New("it hosts " + who)
	}
	return &protos.VerifyServerCertificateReply{}, err
}

// newIdentity returns credentials with a certificate that signs itself.
func newIdentity(t *testing.T, name string) *credentials {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCredentials(t.Context(), &fakeAuthority{targets: make(chan string, 10), self: &protos.GetSelfCertificateReply{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCredentialErrors(t *testing.T) {
	_, err := newCredentials(t.Context(), &fakeAuthority{err: errWrong}, slog.New(slog.DiscardHandler))
	wantError(t, err, errWrong, "cannot get a certificate from the deployer")
	_, err = newIdentity(t, "a").authorize(&tls.ConnectionState{})
	wantError(t, err, nil, "no certificate")
	stranger := newIdentity(t, "stranger")
	block, _ := pem.Decode(stranger.authority.(*fakeAuthority).self.Cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stranger.authorize(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}})
	wantError(t, err, nil, "the deployer refuses the client: a stranger")
}

// TestMutualTLS calls over real connections: a client is let in for what the authority says that
// it may call, and believes a server only for the component that it wants.
func TestMutualTLS(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{"A": {}, "B": {}})
	app := w.local(weavelet.LocalOptions{})
	if err := app.Start(t.Context(), "t/p/A", "t/p/B"); err != nil {
		t.Fatal(err)
	}
	identity := newIdentity(t, "t/p/A t/p/B")
	n := &remoteNetwork{info: &protos.EnvelopeInfo{Mtls: true}, credentials: identity, logger: w.Logger}
	server := n.server(app)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { served <- server.Serve(ctx, l) }()
	defer func() {
		cancel()
		<-served
	}()
	address := dialAddress(l, true)
	if !strings.HasPrefix(address, "mtls://tcp://127.0.0.1:") {
		t.Fatalf("address %s", address)
	}
	for _, tc := range []struct {
		client, component, method string
		want                      string // error; "" for none
	}{
		{"t/p/A", "t/p/A", "t/p/A", ""},
		{"t/p/A t/p/B", "t/p/B", "t/p/B", ""},
		{"t/p/A", "t/p/B", "t/p/B", "the caller may not call t/p/B"},
		{"t/p/A", "t/p/A", "t/p/B", "the caller may not call t/p/B"},
		{"t/p/C", "t/p/A", "t/p/A", "the caller may not call t/p/A"},
		{"t/p/A", "t/p/C", "t/p/A", "the deployer refuses the server for t/p/C: it hosts t/p/A t/p/B"},
	} {
		client := newIdentity(t, tc.client)
		err := callOnce(t, w.Registry, client, address, tc.component, tc.method)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%+v: %v", tc, err)
		}
		if got := <-client.authority.(*fakeAuthority).targets; got != tc.component {
			t.Errorf("the server was verified for %s, not for %s", got, tc.component)
		}
	}
	// With a certificate that the deployer does not know, without one, or with an old TLS, nobody
	// hears anything.
	for name, dial := range map[string]*tls.Config{
		"a stranger":            newIdentity(t, "stranger").client("t/p/A"),
		"without a certificate": {InsecureSkipVerify: true, MinVersion: tls.VersionTLS13},
		"with an old TLS":       {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
	} {
		conn, err := tls.Dial("tcp", l.Addr().String(), dial)
		if err == nil {
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// callOnce makes a call of a method of one component, over connections for another.
func callOnce(t *testing.T, registry *codegen.Registry, identity *credentials, address, component, method string) error {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	refused := make(chan error, 1)
	pool := balance.NewPool(balance.PoolOptions{Dial: func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := link.Dial(ctx, address, identity.client(component))
		if err != nil {
			select {
			case refused <- err:
				cancel()
			default:
			}
		}
		return conn, err
	}})
	defer pool.Close()
	pool.SetReplicas([]string{address})
	c, _ := registry.Find(method)
	var args codegen.Encoder
	codegen.EncSlice(&args, []string{"x"}, (*codegen.Encoder).String)
	reply, err := pool.Call(ctx, &call.Request{Method: codegen.Key(c.Methods[0].Key), Args: args.Data()})
	select {
	case err := <-refused:
		return err
	default:
	}
	if err == nil && reply.Status != codegen.StatusOK {
		err = errors.New(string(reply.Body))
	}
	return err
}
