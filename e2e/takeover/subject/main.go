// Subject is what the tests of takeovers deploy: a page, what it calls, and something that runs once.
// Tests have its processes wait at points that they name, see [pass].
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/divisi-go/divisi"
)

// edition is another one in each build, by the linker.
var edition = "1"

type app struct {
	divisi.Implements[divisi.Main]
	worker divisi.Ref[Worker]
	//lint:ignore U1000 it runs because something refers to it
	single  divisi.Ref[Single]
	subject divisi.Listener
}

func main() {
	pass("begin")
	finish := make(chan error, 2) // has room for the end of serving, and for who asks for an end before
	err := divisi.Run(context.Background(), func(ctx context.Context, a *app) error {
		if err := note("mains", fmt.Sprint(os.Getpid())); err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
			text, err := a.worker.Get().Work(r.Context())
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			fmt.Fprintf(w, "edition %s: %s\n", edition, text)
		})
		mux.HandleFunc("/hold", func(w http.ResponseWriter, _ *http.Request) {
			pass("hold")
			fmt.Fprintln(w, "edition", edition)
		})
		mux.HandleFunc("/finish", func(http.ResponseWriter, *http.Request) {
			if err := note("finishing", fmt.Sprint(os.Getpid())); err != nil {
				panic(err)
			}
			select {
			case finish <- nil:
			default: // it is asked again before it has finished
			}
		})
		go func() { finish <- http.Serve(a.subject, mux) }()
		return <-finish
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "subject:", err)
		os.Exit(1)
	}
}

// Worker is what the page calls.
type Worker interface {
	// Work says who has worked.
	Work(context.Context) (string, error)
}

type worker struct {
	divisi.Implements[Worker]
	divisi.WithConfig[struct {
		Mark string `toml:"mark"`
	}]
}

func (w *worker) Init(context.Context) error {
	pass("init-" + edition + w.Config().Mark)
	return note("workers", fmt.Sprint(os.Getpid()))
}

func (w *worker) Work(context.Context) (string, error) {
	return fmt.Sprintf("%s, process %d", w.Config().Mark, os.Getpid()), nil
}

// Single runs once.
type Single interface {
	// Touch does nothing.
	Touch(context.Context) error
}

//divisi:singleton
type single struct {
	divisi.Implements[Single]
	lock *os.File // held until the process has gone
}

// Init takes the lock of all that run once, and leaves word if somebody else has it.
func (s *single) Init(context.Context) (err error) {
	if s.lock, err = os.OpenFile(path("single"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	err = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.Join(errors.New("it runs twice"), note("twice", fmt.Sprintf("process %d of edition %s", os.Getpid(), edition)))
	}
	return errors.Join(err, note("once", fmt.Sprint(os.Getpid())))
}

func (s *single) Touch(context.Context) error { return nil }

// path returns that of a file of the test.
func path(name string) string { return filepath.Join(os.Getenv("SUBJECT"), name) }

// pass waits at a point, if the test has made a gate of that name and locks it. Before that it notes that it
// is there.
func pass(point string) {
	gate, err := os.Open(path("gate-" + point))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = errors.Join(note("at", fmt.Sprintf("%s %d", point, os.Getpid())), syscall.Flock(int(gate.Fd()), syscall.LOCK_SH), gate.Close())
	}
	if err != nil {
		panic(err)
	}
}

// note adds a line to a file of the test.
func note(file, line string) error {
	f, err := os.OpenFile(path(file), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}
