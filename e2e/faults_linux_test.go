package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	contract "github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/serve"
)

// web is a server of three lines.
func web() {
	l, err := serve.Listener("web", "127.0.0.1:0")
	if err == nil {
		err = serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body) // the client sees what is missing
		})}))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// TestFaults: while a server is under the load of clients that repeat nothing, its keeper is upgraded and
// killed, it is restarted, and killed itself. No request fails but those inside a killed server.
//
// With DIVISI_SOAK in the environment each is done as often as is said here, for 100,000 requests at
// least, while 1,000 other children end.
func TestFaults(t *testing.T) {
	for _, f := range []struct {
		name   string
		often  int
		inside int // requests that may fail with each fault: those of the connections to the killed
		happen func(*faults, *testing.T)
	}{
		{"keeper upgrade", 50, 0, (*faults).upgrade},
		{"keeper kill -9", 30, 0, (*faults).killKeeper},
		{"restart", 20, 0, (*faults).restart},
		{"kill -9", 20, workers, (*faults).kill},
	} {
		t.Run(f.name, func(t *testing.T) {
			often, children, requests := 2, 40, int64(0)
			pause := 16 * time.Millisecond
			if os.Getenv("DIVISI_SOAK") != "" {
				often, children, requests = f.often, 1000, 100_000
				pause = 4 * time.Millisecond
			}
			s := begin(t, pause)
			codes := s.children(t, children)
			n := 0
			for ; n < often || s.sent.Load() < requests; n++ {
				s.sees(t, max(50, requests/int64(often)))
				f.happen(s, t)
			}
			s.sees(t, 50)
			s.leave()

			ends := s.ends(t, codes)
			t.Logf("%d times, %d requests, %d failed, at most %d inside; %s", n, s.sent.Load(), s.failed, n*f.inside, ends)
			if s.failed > n*f.inside || s.refused > 0 {
				t.Errorf("%d of %d requests failed: %v", s.failed, s.sent.Load(), s.why)
			}
		})
	}
}

const workers = 8

// faults are a server under load, and what is done to it.
type faults struct {
	starts
	home    home.Home
	address string
	sent    atomic.Int64
	quit    chan struct{}
	wait    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	failed  int
	refused int // of them
	why     map[string]int
}

func begin(t *testing.T, pause time.Duration) *faults {
	t.Helper()
	dir, err := os.MkdirTemp("", "faults") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	s := &faults{starts: starts{dir: dir}, quit: make(chan struct{}), why: map[string]int{}}
	if s.home, err = home.At(filepath.Join(dir, "home")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.do(t, "keeper", "stop", "--yes") })

	printed := s.do(t, "start", "web", "--listen", "web=127.0.0.1:0", "--ready", "notify", "--", "web")
	s.address = strings.TrimSpace(regexp.MustCompile(` listens at (\S+)`).FindStringSubmatch(printed)[1])
	for i := range workers {
		s.wait.Go(func() { s.work(i%2 == 0, pause) })
	}
	t.Cleanup(s.leave)
	return s
}

func (s *faults) do(t *testing.T, args ...string) string {
	t.Helper()
	printed, err := s.divisi(args...)
	if err != nil {
		t.Fatalf("divisi %v: %v\n%s", args, err, printed)
	}
	return printed
}

func (s *faults) upgrade(t *testing.T) { s.do(t, "keeper", "upgrade") }

func (s *faults) restart(t *testing.T) { s.do(t, "restart", "web") }

func (s *faults) killKeeper(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(s.home.Keeper().State, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	s.killProcess(t, string(text))
	s.do(t, "ps") // which starts the next one
}

func (s *faults) kill(t *testing.T) {
	s.killProcess(t, regexp.MustCompile(`(?m)^process +(\d+)`).FindStringSubmatch(s.do(t, "status", "web"))[1])
}

func (s *faults) killProcess(t *testing.T, number string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(number))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// children starts processes that end at random, some while nobody is attached, and returns their codes.
func (s *faults) children(t *testing.T, n int) map[string]int {
	t.Helper()
	c, err := door.Attach(t.Context(), s.home, contract.Claim{Domain: "/children", Who: "the test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	codes := map[string]int{}
	for i := range n {
		name := fmt.Sprintf("child-%d", i)
		codes[name] = rand.N(200)
		script := fmt.Sprintf("sleep %.2f; exit %d", rand.Float64()*float64(n)/20, codes[name])
		_, err := c.Start(t.Context(), contract.Spec{
			Domain: "/children", Name: name, Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return codes
}

// ends checks how the children have ended, and says how that is known.
func (s *faults) ends(t *testing.T, codes map[string]int) string {
	t.Helper()
	c, err := door.Attach(t.Context(), s.home, contract.Claim{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	how := map[contract.How]int{}
	for name, code := range codes {
		exit, err := c.Wait(t.Context(), contract.ID{Domain: "/children", Name: name})
		if err != nil || exit.How != contract.Unknown && exit.Code != code {
			t.Errorf("%s: %+v, %v; want code %d", name, exit, err, code)
		}
		how[exit.How]++
	}
	return fmt.Sprintf("%d children ended, known by %v", len(codes), how)
}

// sees waits until more requests were answered.
func (s *faults) sees(t *testing.T, more int64) {
	t.Helper()
	for until := s.sent.Load() + more; s.sent.Load() < until && t.Context().Err() == nil; {
		<-time.After(time.Millisecond)
	}
}

// leave ends the load.
func (s *faults) leave() {
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	s.wait.Wait()
}

// work sends requests with pauses of a random time up to that, each on a connection of its own or all on one.
func (s *faults) work(keeps bool, pause time.Duration) {
	var conn net.Conn
	for {
		select {
		case <-s.quit:
			if conn != nil {
				conn.Close()
			}
			return
		case <-time.After(rand.N(pause)):
		}

		var err error
		if conn == nil {
			conn, err = net.Dial("tcp", s.address)
		}
		over := true
		if err == nil {
			over, err = echo(conn)
		}
		s.sent.Add(1)
		if err != nil {
			s.mu.Lock()
			s.failed++
			if errors.Is(err, syscall.ECONNREFUSED) {
				s.refused++
			}
			s.why[err.Error()]++
			s.mu.Unlock()
		}
		if conn != nil && (err != nil || over || !keeps) {
			conn.Close()
			conn = nil
		}
	}
}

// echo makes a request, once, and reports whether the server closes the connection after it.
func echo(conn net.Conn) (over bool, err error) {
	const body = "hello"
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return true, err
	}
	if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		return true, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err == nil && string(said) != body {
		err = errors.New("the answer is " + string(said))
	}
	return response.Close, err
}
