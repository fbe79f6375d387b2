package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// issuer counts the certificates that an authority gives a leaf, and fails when it is told to.
type issuer struct {
	a     *Authority
	mu    sync.Mutex // guards count
	count int
	err   error
	wait  time.Duration
}

func (i *issuer) issue(ctx context.Context) ([]byte, []byte, error) {
	i.mu.Lock()
	i.count++
	i.mu.Unlock()
	if i.wait > 0 {
		select {
		case <-time.After(i.wait):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	if i.err != nil {
		return nil, nil, i.err
	}
	return i.a.Issue(cart)
}

func newLeaf(t *testing.T, i *issuer) *Leaf {
	t.Helper()
	l, err := NewLeaf(t.Context(), slog.New(slog.NewTextHandler(t.Output(), nil)), i.issue)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve renews a leaf until the test is over.
func serve(t *testing.T, l *Leaf) {
	var serving sync.WaitGroup
	serving.Go(func() { l.Serve(t.Context()) })
	t.Cleanup(serving.Wait)
}

// TestRenewal shows a certificate every four days for ten years: it is always good, and it is renewed
// when two thirds of its life are over, not more often.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{a: NewAuthority("d1", Options{})}
		l := newLeaf(t, i)
		serve(t, l)
		const days = 10 * 365
		for range days / 4 {
			checkVerify(t, "the certificate shown", i.a, l.get(t.Context()).Certificate, "")
			time.Sleep(4 * 24 * time.Hour)
		}
		if i.count != days/20+1 && i.count != days/20 {
			t.Errorf("there were %d certificates in %d days", i.count, days)
		}
	})
}

// TestRenew renews a certificate that is not old.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{a: NewAuthority("d1", Options{})}
		l := newLeaf(t, i)
		serve(t, l)
		synctest.Wait()
		l.Renew()
		synctest.Wait()
		if i.count != 2 {
			t.Errorf("there were %d certificates", i.count)
		}
	})
}

// TestStandstill has a process stand still for longer than its certificate lives: of the handshakes
// that come at once, all show the next one.
func TestStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{a: NewAuthority("d1", Options{})}
		l := newLeaf(t, i)
		i.wait = time.Second
		for _, still := range []time.Duration{leafLife + time.Second, 400 * 24 * time.Hour} {
			time.Sleep(still)
			before := i.count
			var handshakes sync.WaitGroup
			for range 20 {
				handshakes.Go(func() {
					checkVerify(t, "the certificate shown", i.a, l.get(t.Context()).Certificate, "")
				})
			}
			handshakes.Wait()
			if i.count != before+1 {
				t.Errorf("it was renewed %d times", i.count-before)
			}
		}
	})
}

// TestSlowRenewal has no handshake wait for the next certificate while the last one is good, and none
// that is given up.
func TestSlowRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{a: NewAuthority("d1", Options{})}
		l := newLeaf(t, i)
		i.wait = leafLife / 2 // until there is a deployer
		serve(t, l)
		time.Sleep(leafLife * 3 / 4)
		start := time.Now()
		var waited atomic.Int64
		var handshakes sync.WaitGroup
		for range 20 {
			handshakes.Go(func() {
				checkVerify(t, "the certificate shown", i.a, l.get(t.Context()).Certificate, "")
				if time.Since(start) > 0 {
					waited.Add(1)
				}
			})
		}
		handshakes.Wait()
		if waited.Load() != 0 {
			t.Errorf("%d handshakes waited", waited.Load())
		}

		time.Sleep(leafLife/4 + time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		handshakes.Go(func() { l.get(ctx) })
		handshakes.Go(func() { l.get(ctx) })
		start = time.Now()
		handshakes.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("handshakes that are given up go on for %v", took)
		}
	})
}

// TestRenewalFails goes on with the last certificate, and renews it as soon as that is possible.
func TestRenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{a: NewAuthority("d1", Options{})}
		l := newLeaf(t, i)
		i.err = errors.New("not now")
		time.Sleep(leafLife - time.Second)
		last := l.get(t.Context()).Certificate
		checkVerify(t, "the last certificate", i.a, last, "")
		time.Sleep(time.Hour)
		checkVerify(t, "the certificate that has ended", i.a, l.get(t.Context()).Certificate, "not of this deployment")
		i.err = nil
		checkVerify(t, "the next certificate", i.a, l.get(t.Context()).Certificate, "")
	})
}

func TestNoLeaf(t *testing.T) {
	wrong := errors.New("wrong")
	for want, issue := range map[string]func(context.Context) ([]byte, []byte, error){
		"cannot get a certificate from the deployer: wrong": func(context.Context) ([]byte, []byte, error) { return nil, nil, wrong },
		"the deployer's certificate is not usable":          func(context.Context) ([]byte, []byte, error) { return []byte("x"), nil, nil },
	} {
		if _, err := NewLeaf(t.Context(), slog.New(slog.DiscardHandler), issue); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestHandshakes lets the certificates of both ends of a connection end many times over: every new
// connection is verified by both, and one that is open stays open.
func TestHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{a: NewAuthority("d1", Options{})}
		server, client := newLeaf(t, i), newLeaf(t, i)
		serve(t, server)
		serve(t, client)
		first := connect(t, i.a, server, client)
		for range 100 {
			connect(t, i.a, server, client).Close()
			time.Sleep(25 * 24 * time.Hour)
		}
		if _, err := first.Write([]byte("x")); err != nil {
			t.Errorf("the first connection: %v", err)
		}
		first.Close()
	})
}

// connect returns the client's end of a connection that both ends have verified.
func connect(t *testing.T, a *Authority, server, client *Leaf) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	accepted := tls.Server(far, server.Server())
	checked := make(chan error, 1)
	go func() {
		err := accepted.Handshake()
		if err == nil {
			var chain [][]byte
			if chain, err = Chain(accepted.ConnectionState().PeerCertificates); err == nil {
				_, err = a.Verify(chain, x509.ExtKeyUsageClientAuth)
			}
		}
		checked <- err
		accepted.Read(make([]byte, 1))
		far.Close()
	}()
	c := tls.Client(near, client.Client(func(chain [][]byte) error {
		_, err := a.Verify(chain, x509.ExtKeyUsageServerAuth)
		return err
	}))
	if err := errors.Join(c.Handshake(), <-checked); err != nil {
		t.Fatal(err)
	}
	return c
}
