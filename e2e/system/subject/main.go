// The program that tests of package system run: it is a system, and the servers of it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/system"
)

// edition is that of the build.
var edition = "1"

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "web" {
		err = web()
	} else {
		name := cmp.Or(os.Getenv("SUBJECT"), "subject")
		err = system.Program{Name: name, Grace: 500 * time.Millisecond}.Run(context.Background(), deploy)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// deploy starts a web server of this program, called as SUBJECT_WEB says, and one that no edition changes.
func deploy(ctx context.Context, n *system.Nursery, h *system.Host) error {
	l, err := h.Listen(ctx, n, "web", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, err = h.Ensure(ctx, n, system.Spec{Name: "steady", Program: "sleep", Args: []string{"1000000"}})
	if err != nil {
		return err
	}
	_, err = system.Start(ctx, n, system.Scope{Name: "front"}, func(ctx context.Context, n *system.Nursery) (*system.Proc, error) {
		return h.Ensure(ctx, n, system.Spec{
			Name: cmp.Or(os.Getenv("SUBJECT_WEB"), "web"), Args: []string{"web"}, Listeners: []*system.Listener{l}, Ready: "notify",
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

// fail is the end of a version that dies half-way.
func fail() error {
	if os.Getenv("SUBJECT_FAILS") != "" {
		return errors.New("this version fails")
	}
	return nil
}

// web answers with its edition.
func web() error {
	l, err := serve.Listener("web", "")
	if err != nil {
		return err
	}
	answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, edition) }
	return serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: http.HandlerFunc(answer)}))
}
