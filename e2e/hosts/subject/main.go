//go:build linux

// The program that the tests of hosts run: it has a web server on each host of a lab,
// and on the first one exampled, if EXAMPLED is the folder with the archive of that.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/e2e/hosts/subject/exampled"
	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/system"
)

// edition is that of the build.
var edition = "1"

var web = system.Server("web", func([]string) error {
	l, err := serve.Listener("web", "")
	if err != nil {
		return err
	}
	page := func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("end") != "" {
			os.Exit(7)
		}
		fmt.Fprint(w, edition, " ", os.Getpid())
		if word := r.FormValue("say"); word != "" {
			fmt.Println(word)
		}
	}
	fmt.Println("edition", edition)
	return serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: http.HandlerFunc(page)}))
})

func main() {
	err := system.Program{Name: "fleet", Grace: 500 * time.Millisecond, Builds: os.Getenv("EXAMPLED")}.Run(context.Background(), deploy)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func deploy(ctx context.Context, n *system.Nursery, here *system.Host) error {
	near := system.Spec{Name: "near", Program: "sh", Args: []any{"-c", "echo near; exec sleep 1000"}, Ready: "log:near"}
	if os.Getenv("NEAR") != "" {
		if _, err := here.Ensure(ctx, n, near); err != nil {
			return err
		}
	}
	l, err := lab.Find(ctx, os.Getenv("LAB"))
	if err != nil {
		return err
	}
	var starts []func(context.Context) error
	for i, host := range l.Hosts() {
		m := &line{Machine: host.Machine()}
		m.obey()
		starts = append(starts, func(ctx context.Context) error {
			defer func() { fmt.Fprintf(os.Stderr, "sent %d bytes to %s\n", m.sent.Load(), host.Name()) }()
			return start(ctx, n, m, i == 0 && os.Getenv("EXAMPLED") != "")
		})
	}
	return system.Together(ctx, starts...)
}

// start starts a web server on a host, and exampled.
func start(ctx context.Context, n *system.Nursery, m system.Machine, more bool) error {
	h, err := system.Open(ctx, n, m)
	if err != nil {
		return err
	}
	_, err = system.Start(ctx, n, system.Scope{Name: m.Name()}, func(ctx context.Context, n *system.Nursery) (*system.Proc, error) {
		if more {
			if _, err := exampled.Start(ctx, n, h); err != nil {
				return nil, err
			}
		}
		l, err := h.Listen(ctx, n, "web", "0.0.0.0:7000")
		if err != nil {
			return nil, err
		}
		return h.Ensure(ctx, n, system.Spec{Name: "web", Program: web, Listeners: []*system.Listener{l}, Ready: "http:/"})
	})
	return err
}

// line is the way to a machine: it counts what is sent, and is cut by SIGUSR1 and mended by SIGUSR2.
type line struct {
	lab.Machine
	sent atomic.Int64

	mu   sync.Mutex // guards what follows
	cut  bool
	ends map[int]func()
	last int
}

var _ system.Machine = (*line)(nil)

var errCut = errors.New("the line is cut")

// obey has the line obey signals.
func (l *line) obey() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			l.be(s == syscall.SIGUSR1)
		}
	}()
}

// be cuts the line, or mends it.
func (l *line) be(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for _, end := range l.ends {
		end()
	}
}

// use takes note of how something ends when the line is cut, until the function that it returns is called.
func (l *line) use(end func()) (func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, errCut
	}
	if l.ends == nil {
		l.ends = map[int]func(){}
	}
	l.last++
	at := l.last
	l.ends[at] = end
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.ends, at)
	}, nil
}

// Run implements [system.Machine].
func (l *line) Run(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done, err := l.use(cancel)
	if err != nil {
		return err
	}
	defer done()
	return l.Machine.Run(ctx, &counted{in, &l.sent}, out, args...)
}

// Dial implements [system.Machine]. Nothing but bytes passes.
func (l *line) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.Machine.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	done, err := l.use(func() { conn.Close() })
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &wire{conn, l, done}, nil
}

// counted counts what is read.
type counted struct {
	io.Reader
	sent *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.sent.Add(int64(n))
	return n, err
}

// wire is a connection over the line.
type wire struct {
	net.Conn
	line *line
	done func()
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.line.sent.Add(int64(n))
	return n, err
}

func (w *wire) Close() error {
	w.done()
	return w.Conn.Close()
}
