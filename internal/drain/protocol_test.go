package drain

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// newCertificate returns a certificate for a test's server.
func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// drainTime is how long the servers of these tests may drain. A third of it, without a byte, is how
// long a connection of HTTP/2 stays if its server does not end it.
const drainTime = time.Minute

// goAway is how long net/http waits after GOAWAY for clients to leave.
const goAway = time.Second

// TestDrainProtocols: whatever the protocol, an answer that comes in pieces and one that comes late
// are not cut, with handlers that nothing is done to, and a connection that its client only keeps
// open does not hold the drain for all of its time.
func TestDrainProtocols(t *testing.T) {
	certificate := newCertificate(t)
	for name, tc := range map[string]struct {
		secure  bool
		version string
		leaves  bool          // the server takes part in the drain
		timeout time.Duration // of the server's reads; 0 for none
		takes   time.Duration // from the last answer on, at most
	}{
		"HTTP/1.1":                         {false, "HTTP/1.1", false, 0, 2 * lameDuck},
		"HTTP/1.1, with timeouts":          {false, "HTTP/1.1", false, 5 * time.Minute, 2 * lameDuck},
		"HTTP/1.1, leaving":                {false, "HTTP/1.1", true, 0, 2 * lameDuck},
		"HTTP/1.1 over TLS":                {true, "HTTP/1.1", false, 0, 2 * lameDuck},
		"HTTP/1.1 over TLS, with timeouts": {true, "HTTP/1.1", false, 5 * time.Minute, 2 * lameDuck},
		"HTTP/1.1 over TLS, leaving":       {true, "HTTP/1.1", true, 0, 2 * lameDuck},
		"HTTP/2":                           {false, "HTTP/2.0", false, 0, drainTime/3 + lameDuck},
		"HTTP/2, leaving":                  {false, "HTTP/2.0", true, 0, goAway + lameDuck},
		"HTTP/2 over TLS":                  {true, "HTTP/2.0", false, 0, drainTime/3 + lameDuck},
		"HTTP/2 over TLS, with timeouts":   {true, "HTTP/2.0", false, 5 * time.Minute, drainTime/3 + lameDuck},
		"HTTP/2 over TLS, leaving":         {true, "HTTP/2.0", true, 0, goAway + lameDuck},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := newMemListener()
				l := New(mem, nil)
				server := &http.Server{
					Handler: http.HandlerFunc(answer), ReadHeaderTimeout: tc.timeout, ReadTimeout: 2 * tc.timeout,
					Protocols: protocols(tc.version, tc.secure),
				}
				if tc.secure {
					server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
				}
				returned := make(chan error, 1)
				go func() {
					switch {
					case tc.leaves:
						server.Handler = Handler(server.Handler)
						returned <- HTTP(l, server)(l)
					case tc.secure:
						returned <- server.ServeTLS(l, "", "")
					default:
						returned <- server.Serve(l)
					}
				}()

				client := func() *http.Client { return newClient(mem, protocols(tc.version, tc.secure)) }
				idle, pieces, late := client(), client(), client()
				for _, c := range []*http.Client{idle, pieces, late} {
					defer c.CloseIdleConnections()
					fetch(t, c, tc.secure, "/now", "now", tc.version)
				}
				answers := make(chan struct{}, 2)
				for path, c := range map[string]*http.Client{"/pieces": pieces, "/late": late} {
					go func() {
						want := map[string]string{"/pieces": "piece piece piece ", "/late": "late"}[path]
						fetch(t, c, tc.secure, path, want, tc.version)
						answers <- struct{}{}
					}()
				}
				time.Sleep(time.Second)

				ctx, cancel := context.WithTimeout(t.Context(), drainTime)
				defer cancel()
				drained := make(chan struct{})
				go func() {
					l.Drain(ctx)
					close(drained)
				}()
				<-answers
				<-answers
				last := time.Now()
				<-drained
				if took := time.Since(last); ctx.Err() != nil || took > tc.takes {
					t.Errorf("drained %v after the last answer, %v", took, ctx.Err())
				}
				if err := <-returned; err != net.ErrClosed && err != http.ErrServerClosed {
					t.Errorf("Serve: %v", err)
				}
			})
		})
	}
}

// answer answers at once, in pieces, or late.
func answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/now":
		io.WriteString(w, "now")
	case "/pieces":
		for range 3 {
			io.WriteString(w, "piece ")
			w.(http.Flusher).Flush()
			time.Sleep(4 * time.Second)
		}
	case "/late":
		time.Sleep(15 * time.Second)
		io.WriteString(w, "late")
	}
}

// protocols returns one version of HTTP alone.
func protocols(version string, secure bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(version == "HTTP/1.1")
	p.SetHTTP2(version == "HTTP/2.0" && secure)
	p.SetUnencryptedHTTP2(version == "HTTP/2.0" && !secure)
	return p
}

// newClient returns a client with one connection.
func newClient(mem *memListener, protocols *http.Protocols) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return mem.dial(), nil },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Protocols:       protocols,
		MaxConnsPerHost: 1,
	}}
}

func fetch(t *testing.T, c *http.Client, secure bool, path, want, version string) {
	t.Helper()
	url := "http://mem" + path
	if secure {
		url = "https://mem" + path
	}
	resp, err := c.Get(url)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != want || resp.Proto != version {
		t.Errorf("%s: %q, %v by %s", path, got, err, resp.Proto)
	}
}
