//go:build linux

package takeover

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const visitors = 8

var pause = flag.Duration("pause", 32*time.Millisecond, "between two requests of a visitor, at most")

// load is visitors who ask for a page, once each time: half of them on new connections, half on the one that
// they have.
type load struct {
	address string
	quit    chan struct{}
	wait    sync.WaitGroup
	sent    atomic.Int64

	mu     sync.Mutex // guards what follows
	failed []string
}

// visit begins to ask for the page at an address such as http://127.0.0.1:9000.
func visit(t *testing.T, url string) *load {
	l := &load{address: strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"), quit: make(chan struct{})}
	for i := range visitors {
		l.wait.Go(func() { l.work(i%2 == 0) })
	}
	t.Cleanup(func() { l.leave() })
	return l
}

// leave ends the visits, and returns what failed.
func (l *load) leave() []string {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.wait.Wait()
	return l.failed
}

// sees waits until more requests were answered.
func (l *load) sees(s *site, more int64) {
	s.t.Helper()
	until := l.sent.Load() + more
	s.until(fmt.Sprint(more, " requests"), func() bool { return l.sent.Load() >= until })
}

func (l *load) work(keeps bool) {
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for {
		select {
		case <-l.quit:
			return
		case <-time.After(rand.N(*pause)):
		}

		began, fresh := time.Now(), conn == nil
		var err error
		if fresh {
			conn, err = net.Dial("tcp", l.address)
		}
		over := true
		if err == nil {
			_, over, err = ask(conn, "/")
		}
		l.sent.Add(1)
		if err != nil {
			l.mu.Lock()
			l.failed = append(l.failed, fmt.Sprintf("%s for %v, new connection %t: %v", began.Format("15:04:05.000"),
				time.Since(began).Round(time.Millisecond), fresh, err))
			l.mu.Unlock()
		}
		if conn != nil && (err != nil || over || !keeps) {
			conn.Close()
			conn = nil
		}
	}
}

// ask asks for a page once, and reports whether the server closes the connection after it.
func ask(conn net.Conn, path string) (body string, over bool, err error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", true, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: takeover\r\n\r\n", path); err != nil {
		return "", true, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", true, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", response.Status, text)
	}
	return string(text), response.Close, err
}

// held is a request that is open.
type held struct {
	s    *site
	done chan error
	body string
}

// hold asks for a page whose answer waits.
func (s *site) hold(url, path string) *held {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	h := &held{s: s, done: make(chan error, 1)}
	s.runs.Go(func() {
		var err error
		h.body, _, err = ask(conn, path)
		h.done <- err
	})
	return h
}

// answered waits for the answer.
func (h *held) answered() string {
	h.s.t.Helper()
	if err := <-h.done; err != nil {
		h.s.t.Errorf("the request that was held open: %v", err)
	}
	return h.body
}

// page returns the page of the application.
func (s *site) page(url string) string {
	s.t.Helper()
	return s.hold(url, "/").answered()
}
