package system_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/artifact"
	"github.com/divisi-go/divisi/system"
)

// TestDocumented: the code of docs/system.md is that of this file, which is compiled.
func TestDocumented(t *testing.T) {
	document, err := os.ReadFile("../docs/system.md")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	source := flat(string(own))

	blocks := 0
	for _, block := range regexp.MustCompile(`(?m)(?:^    .*\n|^\n)+`).FindAllString(string(document), -1) {
		switch {
		case !strings.Contains(block, "ctx"), strings.Contains(block, "..."): // it is not whole
			continue
		case strings.Contains(block, "package main"):
			_, block, _ = strings.Cut(block, "func main() { system.Run(\"orderd\", deploy) }")
		}
		blocks++
		if !strings.Contains(source, flat(block)) {
			t.Errorf("docs/system.md has code that nobody compiles:\n%s", block)
		}
	}
	if want := len(examples) + 1; blocks != want { // a start function is a piece of its own
		t.Errorf("docs/system.md has %d pieces of code, and had %d", blocks, want)
	}
}

// examples are compiled, and nobody runs them: each would deploy a system.
var examples = []func(){Example, ExampleStart, ExampleOpen, ExampleHost_Install, ExampleHost_App}

// flat returns code without its indentation.
func flat(code string) string { return strings.Join(strings.Fields(code), " ") }

func deploy(ctx context.Context, n *system.Nursery, h *system.Host) error {
	dir, err := h.Dir("positiond")
	if err != nil {
		return err
	}
	positiond, err := StartPositiond(ctx, n, h, dir)
	if err != nil {
		return err
	}
	orders, err := h.Listen(ctx, n, "orders", "localhost:7000")
	if err != nil {
		return err
	}
	_, err = StartOrderd(ctx, n, h, positiond, orders)
	return err
}

// Positiond is where positions are told.
type Positiond struct{ Socket system.File }

func StartPositiond(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir) (*Positiond, error) {
	_, err := h.Ensure(ctx, n, system.Spec{
		Name: "positiond", Program: "positiond", Args: []any{"--verbose"}, Dir: dir, Ready: "file:socket",
	})
	return &Positiond{dir.File("socket")}, err
}

type Orderd struct{ Addr string }

func StartOrderd(ctx context.Context, n *system.Nursery, h *system.Host, positiond *Positiond, l *system.Listener) (*Orderd, error) {
	_, err := h.Ensure(ctx, n, system.Spec{
		Name: "orderd", Program: "orderd", Args: []any{positiond.Socket}, Listeners: []*system.Listener{l}, Ready: "port",
	})
	return &Orderd{l.Addr()}, err
}

func StartAll(ctx context.Context, n *system.Nursery, h *system.Host, address string) (*Orderd, error) {
	l, err := h.Listen(ctx, n, "orders", address)
	if err != nil {
		return nil, err
	}
	dir, err := h.Dir(strings.TrimPrefix(n.Path(), "/"))
	if err != nil {
		return nil, err
	}
	positiond, err := StartPositiond(ctx, n, h, dir)
	if err != nil {
		return nil, err
	}
	return StartOrderd(ctx, n, h, positiond, l)
}

// A system that is deployed by a function.
func Example() { system.Run("orderd", deploy) }

// The same twice, each in a nursery of its own.
func ExampleStart() {
	system.Run("orderd", func(ctx context.Context, n *system.Nursery, h *system.Host) error {
		eu, err := system.Start(ctx, n, system.Scope{Name: "eu"}, func(ctx context.Context, n *system.Nursery) (*Orderd, error) {
			return StartAll(ctx, n, h, "localhost:7001")
		})
		if err != nil {
			return err
		}
		us, err := system.Start(ctx, n, system.Scope{Name: "us"}, func(ctx context.Context, n *system.Nursery) (*Orderd, error) {
			return StartAll(ctx, n, h, "localhost:7002")
		})
		if err == nil && eu.Addr == us.Addr {
			err = errors.New("both take orders at " + eu.Addr)
		}
		return err
	})
}

// Orders are taken on another host.
func ExampleOpen() {
	var machine system.Machine // such as a host of a lab
	system.Run("orderd", func(ctx context.Context, n *system.Nursery, _ *system.Host) error {
		eu, err := system.Open(ctx, n, machine)
		if err != nil {
			return err
		}
		orders, err := eu.Listen(ctx, n, "orders", "0.0.0.0:7000") // in the network of that host
		if err != nil {
			return err
		}
		conn, err := eu.Dial(ctx, "tcp", orders.Addr()) // as a program there does
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// A program that hosts do not have, packed with its libraries.
func ExampleHost_Install() {
	Exampled := artifact.Artifact{Name: "exampled", Version: "1.0", SHA256: "of its artifact.toml"} // which divisi artifact pack writes
	start := func(ctx context.Context, n *system.Nursery, h *system.Host) (*system.Proc, error) {
		e, err := h.Install(ctx, Exampled) // of the Go file
		if err != nil {
			return nil, err
		}
		return h.Ensure(ctx, n, system.Spec{Name: "exampled", Program: e.Program, Args: e.Args("-v"), Ready: "port"})
	}
	system.Run("examples", func(ctx context.Context, n *system.Nursery, h *system.Host) error {
		_, err := start(ctx, n, h)
		return err
	})
}

// An application of components, beside a program that it depends on.
func ExampleHost_App() {
	system.Run("orderd", func(ctx context.Context, n *system.Nursery, h *system.Host) error {
		prices, err := h.Listen(ctx, n, "prices", "localhost:0")
		if err != nil {
			return err
		}
		_, err = h.Ensure(ctx, n, system.Spec{
			Name: "prices", Program: "prices", Listeners: []*system.Listener{prices}, Ready: "notify",
		})
		if err != nil {
			return err
		}
		web, err := h.Listen(ctx, n, "web", "localhost:8080")
		if err != nil {
			return err
		}

		app, err := h.App(ctx, n, system.Application{
			Name: "shop", Program: "./shop", Args: []any{prices.Addr()}, Listeners: []*system.Listener{web},
			Config: "[divisi]\nreplicas = 2\n",
		})
		if err != nil {
			return err
		}
		fmt.Println("the shop is at", app.Address("web"))
		return nil
	})
}
