//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestRestart: whoever holds the socket restarts the program many times while clients that repeat nothing
// load it. No request fails, whether the next process comes first, or the one before it goes first.
//
// With DIVISI_SOAK in the environment, each is done for as long as it says, and for 100,000 requests at
// least.
func TestRestart(t *testing.T) {
	restarts, requests, length := 20, 0, time.Duration(0)
	if text := os.Getenv("DIVISI_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		requests = 100_000
	}

	for name, startFirst := range map[string]bool{"start first": true, "stop first": false} {
		t.Run(name, func(t *testing.T) {
			address, file := socket(t)
			current := start(t, file)
			clients := newCrowd(address, func(error) bool { return false })
			begun := time.Now()
			n := 0
			for n < restarts || clients.sent.Load() < int64(requests) || time.Since(begun) < length {
				clients.sees(t, 50)
				n++
				last := current
				if startFirst {
					current = start(t, file)
				}
				stop(t, last)
				if !startFirst {
					current = start(t, file)
				}
			}
			clients.leave(t)
			stop(t, current)
			t.Logf("%d restarts, %d requests, %d failed", n, clients.sent.Load(), clients.failed)
		})
	}
}

// start starts a process of the program that inherits a socket, and waits until it is ready.
func start(t *testing.T, file *os.File) *exec.Cmd {
	t.Helper()
	cmd := command(t)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=web")
	cmd.ExtraFiles = []*os.File{file}
	ready := supervise(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready()
	return cmd
}

// TestKill: a program that is killed fails what it was about to answer, and nothing else: nobody is
// refused, and what waits for it is answered by the next one.
func TestKill(t *testing.T) {
	const kills, workers = 20, 8
	address, file := socket(t)
	clients := newCrowd(address, func(err error) bool {
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
			errors.Is(err, syscall.EPIPE)
	})
	for range kills {
		current := start(t, file)
		clients.sees(t, 100)
		if err := current.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		current.Wait()
	}
	last := start(t, file)
	clients.sees(t, 100)
	clients.leave(t)
	stop(t, last)
	if clients.borne > kills*workers {
		t.Errorf("%d requests failed, more than there were connections to the killed", clients.borne)
	}
	t.Logf("%d kills, %d requests, %d of them inside the killed, %d others failed",
		kills, clients.sent.Load(), clients.borne, clients.failed)
}

// crowd are clients that send requests and repeat none: half of them open a connection for each, half
// keep one. Their pauses are shorter than the time for which connections must be quiet to be closed.
type crowd struct {
	address string
	bears   func(error) bool // failures that are the killed server's
	sent    atomic.Int64
	quit    chan struct{}
	wait    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	failed int
	borne  int
	late   int // failed, but were sent after a pause in which the server may close the connection
	kinds  []string
}

const (
	// pause is the shortest between the requests of a client; the longest is eight times as long.
	pause = 10 * time.Millisecond

	// A request is late if its client was delayed by more than stall, because the machine is busy, and
	// the one before it was sent longer ago than quiet: the server may have closed the connection.
	stall = 20 * time.Millisecond
	quiet = 150 * time.Millisecond
)

func newCrowd(address string, bears func(error) bool) *crowd {
	c := &crowd{address: address, quit: make(chan struct{}), bears: bears}
	for i := range 8 {
		c.wait.Go(func() { c.work(i%2 == 0, time.Duration(1+i)*pause) })
	}
	return c
}

// work sends requests, with pauses, until the crowd leaves.
func (c *crowd) work(keeps bool, pause time.Duration) {
	v := visitor{address: c.address, keeps: keeps}
	defer v.hangUp()
	for {
		select {
		case <-c.quit:
			return
		case <-time.After(pause):
		}
		err := v.request()
		c.sent.Add(1)
		if err != nil {
			v.hangUp()
			c.fail(err, v.silent > quiet && v.paused > pause+stall)
		}
	}
}

func (c *crowd) fail(err error, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.bears(err):
		c.borne++
	case late:
		c.late++
	default:
		c.failed++
		if !slices.Contains(c.kinds, err.Error()) && len(c.kinds) < 10 {
			c.kinds = append(c.kinds, err.Error())
		}
	}
}

// sees waits until some more requests have been sent.
func (c *crowd) sees(t *testing.T, more int64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	want := c.sent.Load() + more
	for range 60_000 {
		if c.sent.Load() >= want {
			return
		}
		<-tick.C
	}
	t.Fatal("the clients send nothing")
}

// leave ends the load, and fails the test if a request has failed.
func (c *crowd) leave(t *testing.T) {
	t.Helper()
	close(c.quit)
	c.wait.Wait()
	if c.failed > 0 {
		t.Errorf("%d of %d requests failed: %s", c.failed, c.sent.Load(), strings.Join(c.kinds, "; "))
	}
	if c.late > 0 {
		t.Logf("%d requests failed that were sent too late", c.late)
	}
}

// visitor is a client with one connection at most.
type visitor struct {
	address string
	keeps   bool

	conn     net.Conn
	sent     time.Time     // when the last request was
	answered time.Time     // when that was
	silent   time.Duration // from sent to the next request
	paused   time.Duration // from answered to the next request
}

func (v *visitor) hangUp() {
	if v.conn != nil {
		v.conn.Close()
		v.conn = nil
	}
}

// request sends a request, and keeps the connection if that is wanted.
func (v *visitor) request() error {
	if v.conn == nil {
		conn, err := net.DialTimeout("tcp", v.address, time.Minute)
		if err != nil {
			return err
		}
		v.conn, v.sent, v.answered = conn, time.Now(), time.Now()
	}
	v.conn.SetDeadline(time.Now().Add(time.Minute))
	_, err := fmt.Fprintf(v.conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
	v.silent, v.paused = time.Since(v.sent), time.Since(v.answered)
	v.sent = time.Now()
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(v.conn), nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	v.answered = time.Now()
	switch {
	case err != nil:
		return err
	case string(body) != "Hello!\n":
		return fmt.Errorf("status %d: %q", resp.StatusCode, body)
	case !v.keeps || resp.Close:
		v.hangUp()
	}
	return nil
}
