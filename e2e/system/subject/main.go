// The program that tests of package system run: it is a system, and the servers of it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/notify"
	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/system"
)

// edition is that of the build.
var edition = "1"

// within is long for a busy machine, and short for who waits for what is broken.
var within = 20 * time.Second

// The programs that this one may be.
var (
	web     = system.Server("web", func([]string) error { return serveEdition() })
	sleeper = system.Server("sleep", func([]string) error { return sleep() })
	shy     = system.Server("shy", func([]string) error { return serveShyly() })
	mute    = system.Server("mute", func([]string) error { return fallSilent() })
	broken  = system.Server("broken", func([]string) error {
		fmt.Println("this is broken")
		return sleep()
	})
)

func main() {
	if os.Getenv("SUBJECT_BROKEN") != "" {
		within = time.Second
	}
	if os.Getenv("SUBJECT_SHY") != "" || os.Getenv("SUBJECT_LONG") != "" {
		within = 4 * time.Second
	}
	name := os.Getenv("SUBJECT")
	if name == "" {
		system.Run("subject", deploy)
	}
	err := system.Program{Name: name, Grace: 500 * time.Millisecond}.Run(context.Background(), deploy)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// deploy starts a web server of this program, called as SUBJECT_WEB says, and one that no edition changes. The
// latter is the program SUBJECT_STEADY; with SUBJECT_ALONE it is this program as well, with SUBJECT_MUTE one that
// hangs when it is told to, and with SUBJECT_PATIENT it does not start again for an hour. With SUBJECT_BROKEN the web
// server is none, which with SUBJECT_LONG is noticed late, and with SUBJECT_SHY one that answers until it is told not
// to; SUBJECT_GRACE is how long it may take to end.
func deploy(ctx context.Context, n *system.Nursery, h *system.Host) error {
	steady := system.Spec{Name: "steady", Program: cmp.Or(os.Getenv("SUBJECT_STEADY"), "sleep"), Args: []any{"1000000"}}
	if os.Getenv("SUBJECT_ALONE") != "" {
		steady.Program = sleeper
	}
	if os.Getenv("SUBJECT_MUTE") != "" {
		steady.Program, steady.Ready = mute, "notify"
	}
	if os.Getenv("SUBJECT_PATIENT") != "" {
		steady.Policy.Backoff, steady.Policy.MaxBackoff = time.Hour, time.Hour
	}
	grace, _ := time.ParseDuration(os.Getenv("SUBJECT_GRACE")) // or the default
	front, ready := web, "notify"
	if os.Getenv("SUBJECT_BROKEN") != "" {
		front = broken
	}
	if os.Getenv("SUBJECT_SHY") != "" {
		front, ready = shy, "http:/"
	}
	if _, err := h.Ensure(ctx, n, steady); err != nil {
		return err
	}
	l, err := listen(ctx, n, h, cmp.Or(os.Getenv("SUBJECT_LISTEN"), "127.0.0.1:0"))
	if err != nil {
		return err
	}
	_, err = system.Start(ctx, n, system.Scope{Name: "front"}, func(ctx context.Context, n *system.Nursery) (*system.Proc, error) {
		return h.Ensure(ctx, n, system.Spec{
			Name: cmp.Or(os.Getenv("SUBJECT_WEB"), "web"), Program: front,
			Listeners: []*system.Listener{l}, Ready: ready, Within: within, Grace: grace,
		})
	})
	if err != nil {
		return err
	}
	dir, err := h.Dir("")
	if err != nil {
		return err
	}
	return errors.Join(dir.WriteFile("address", []byte(l.Addr())), fail())
}

// listen opens the listener of the web server. If somebody else has its port, the operator may say another address.
func listen(ctx context.Context, n *system.Nursery, h *system.Host, address string) (*system.Listener, error) {
	for {
		l, err := h.Listen(ctx, n, "web", address)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
		address, err = system.Ask(ctx, n, system.Question[string]{Key: "listen", Text: err.Error(), Default: address})
		if err != nil {
			return nil, err
		}
	}
}

// fail is the end of a version that dies half-way.
func fail() error {
	if os.Getenv("SUBJECT_FAILS") != "" {
		return errors.New("this version fails")
	}
	return nil
}

// fallSilent promises a sign of life every 100 ms when it gets SIGUSR1, and gives none.
func fallSilent() error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	if err := notify.Send("READY=1"); err != nil {
		return err
	}
	<-asked
	if err := notify.Send("WATCHDOG_USEC=100000"); err != nil {
		return err
	}
	return sleep()
}

func sleep() error {
	time.Sleep(time.Hour)
	return nil
}

// serveEdition answers with its edition.
func serveEdition() error {
	l, err := serve.Listener("web", "")
	if err != nil {
		return err
	}
	answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, edition) }
	return serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: http.HandlerFunc(answer)}))
}

// serveShyly answers with its edition, but not where there is a file "shy" in its folder, and not after somebody
// has asked for /hush.
func serveShyly() error {
	l, err := serve.Listener("web", "")
	if err != nil {
		return err
	}
	if _, err := os.Stat("shy"); err == nil {
		fmt.Println("this is shy")
		return sleep()
	}

	hushed := make(chan bool)
	http.HandleFunc("/hush", func(http.ResponseWriter, *http.Request) { close(hushed) })
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, edition) })
	go func() { _ = http.Serve(l, nil) }() // until it is closed
	<-hushed
	l.Close()
	return sleep()
}
