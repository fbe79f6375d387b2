package serve

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/drain"
)

// certificate is that of the servers of these tests.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// protocol is a way to serve echoes, and to ask for them.
type protocol struct {
	member func(l net.Listener, count *atomic.Int64) Member
	// client returns what sends a text and returns the echo, and what ends it. A client that is kept
	// uses one connection as long as the server lets it; others use one for each text.
	client func(address string, kept bool) (echo func(text string) (string, error), end func())
}

func overHTTP(version string, secure, wrapped bool) protocol {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == "HTTP/1.1")
	protocols.SetHTTP2(version == "HTTP/2.0" && secure)
	protocols.SetUnencryptedHTTP2(version == "HTTP/2.0" && !secure)
	return protocol{
		member: func(l net.Listener, count *atomic.Int64) Member {
			s := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				count.Add(1)
				io.Copy(w, r.Body)
			})}
			config := &tls.Config{Certificates: []tls.Certificate{certificate()}}
			switch {
			case wrapped:
				l = tls.NewListener(l, config)
			case secure:
				s.TLSConfig = config
			}
			return Server(l, s)
		},
		client: func(address string, kept bool) (func(string) (string, error), func()) {
			scheme := "http://"
			if secure {
				scheme = "https://"
			}
			c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
				Protocols: protocols, DisableKeepAlives: !kept, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			}}
			return func(text string) (string, error) {
				// A body that can be read once is never sent twice by net/http.
				var body io.Reader = struct{ io.Reader }{strings.NewReader(text)}
				if version == "HTTP/2.0" {
					body = strings.NewReader(text) // what GOAWAY refuses is sent again: that is the protocol
				}
				resp, err := c.Post(scheme+address, "text/plain", body)
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				if resp.Proto != version {
					return "", errors.New(resp.Proto)
				}
				got, err := io.ReadAll(resp.Body)
				return string(got), err
			}, c.CloseIdleConnections
		},
	}
}

// farewell is at the end of the last answer on a connection.
const farewell = ", and farewell"

// overLines serves lines. Its clients keep connections only if the server says farewell.
func overLines(keeps bool, member func(l net.Listener, count *atomic.Int64) Member) protocol {
	return protocol{member: member, client: func(address string, kept bool) (func(string) (string, error), func()) {
		var conn net.Conn
		end := func() {
			if conn != nil {
				conn.Close()
				conn = nil
			}
		}
		return func(text string) (string, error) {
			if !kept || !keeps {
				end()
			}
			if conn == nil {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return "", err
				}
				conn = c
			}
			if _, err := fmt.Fprintln(conn, text); err != nil {
				return "", err
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			answer, last := strings.CutSuffix(strings.TrimSpace(line), farewell)
			if last {
				end()
			}
			return answer, err
		}, end
	}}
}

// echoLines answers lines with themselves, until ctx has ended: then it says farewell.
func echoLines(ctx context.Context, c net.Conn, count *atomic.Int64) {
	for lines := bufio.NewScanner(c); lines.Scan(); {
		count.Add(1)
		if ctx.Err() != nil {
			fmt.Fprintln(c, lines.Text()+farewell)
			return
		}
		fmt.Fprintln(c, lines.Text())
	}
}

// plainServer is a server of lines that knows nothing of an end but that of its listener.
type plainServer struct{ count *atomic.Int64 }

func (s plainServer) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			echoLines(context.Background(), c, s.count)
		}()
	}
}

var protocols = map[string]protocol{
	"HTTP/1.1":                         overHTTP("HTTP/1.1", false, false),
	"HTTP/1.1 over TLS":                overHTTP("HTTP/1.1", true, false),
	"HTTP/1.1 over TLS, by a listener": overHTTP("HTTP/1.1", true, true),
	"HTTP/2":                           overHTTP("HTTP/2.0", false, false),
	"HTTP/2 over TLS":                  overHTTP("HTTP/2.0", true, false),
	"lines": overLines(true, func(l net.Listener, count *atomic.Int64) Member {
		return Conns(l, func(ctx context.Context, c net.Conn) { echoLines(ctx, c, count) })
	}),
	"lines, by another server": overLines(false, func(l net.Listener, count *atomic.Int64) Member {
		return Server(l, plainServer{count})
	}),
}

// sharedListener returns another listener of the same socket, as another process has it.
func sharedListener(t *testing.T, l net.Listener) net.Listener {
	t.Helper()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Skipf("sockets cannot be shared here: %v", err)
	}
	defer file.Close()
	other, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// TestHandover: a server follows another one on the same socket, some times, while clients use it; none
// loses an answer.
func TestHandover(t *testing.T) {
	const handovers = 3
	for name, p := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			run := func() (count *atomic.Int64, end func()) {
				count = new(atomic.Int64)
				l := opened.add(drain.New(sharedListener(t, socket), nil))
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() { ended <- Run(ctx, p.member(l, count)) }()
				return count, func() {
					t.Helper()
					cancel()
					if err := <-ended; err != nil {
						t.Error(err)
					}
				}
			}
			served, end := run()
			stop := make(chan struct{})
			var clients sync.WaitGroup
			for i := range 8 {
				clients.Go(func() { ask(t, p, socket.Addr().String(), i, stop) })
			}
			for range handovers {
				until(t, served, 50)
				next, endNext := run()
				end()
				end = endNext
				served = next
			}
			until(t, served, 50)
			close(stop)
			clients.Wait()
			end()
		})
	}
}

// ask sends texts until it is to stop, with pauses, and fails the test for each that has no echo. It
// bears one that was sent late: on a busy machine a pause may become so long, from the text before, that
// the server has closed the connection.
func ask(t *testing.T, p protocol, address string, number int, stop <-chan struct{}) {
	const quiet, stall, hang = 150 * time.Millisecond, 20 * time.Millisecond, 5 * time.Second
	pause := time.Duration(number) * time.Millisecond
	echo, end := p.client(address, number%2 == 0)
	defer end()
	sent := time.Now()
	for n := 0; ; n++ {
		answered := time.Now()
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		want := fmt.Sprint(number, "/", n)
		before := sent
		sent = time.Now()
		got, err := echo(want)
		silence := time.Since(before)
		switch {
		case err != nil && silence > quiet && silence < hang && time.Since(answered) > pause+stall:
			t.Logf("%s: %v, after %v", want, err, silence)
			end()
		case err != nil || got != want:
			t.Errorf("%s: %q, %v, after %v", want, got, err, silence)
			return
		}
	}
}

// until waits until a server has served some requests.
func until(t *testing.T, served *atomic.Int64, count int64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 60_000 {
		if served.Load() >= count {
			return
		}
		<-tick.C
	}
	t.Fatalf("only %d requests are served", served.Load())
}
