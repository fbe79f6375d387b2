//go:build linux

// The program that the tests of sandboxes run: it has a web server in a sandbox, which takes orders from the machine. That is
// this one, or the one that SSH is a destination of.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/divisi-go/divisi/oci"
	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/ssh"
	"github.com/divisi-go/divisi/system"
)

// edition is that of the build.
var edition = "1"

// web says on two sockets which edition and which process it is: on one of the machine, and on one of the sandbox.
var web = system.Server("web", func([]string) error {
	host, err := os.Hostname()
	page := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, edition, " ", os.Getpid(), " on ", host) }
	var services []serve.Member
	for _, name := range []string{"orders", "inner"} {
		l, wrong := serve.Listener(name, "")
		err = errors.Join(err, wrong)
		services = append(services, serve.Server(l, &http.Server{Handler: http.HandlerFunc(page)}))
	}
	if err != nil {
		return err
	}
	return serve.Run(context.Background(), services...)
})

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--fast" {
		look()
		return
	}
	err := system.Program{Name: "boxed", Grace: 500 * time.Millisecond}.Run(context.Background(), deploy)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func deploy(ctx context.Context, n *system.Nursery, h *system.Host) error {
	if os.Getenv("EMPTY") != "" {
		return nil
	}
	h, err := machine(ctx, n, h)
	if err != nil {
		return err
	}
	orders, err := h.Listen(ctx, n, "orders", "127.0.0.1:0")
	if err != nil {
		return err
	}
	spec := system.Sandbox{Name: "box", Listeners: []*system.Listener{orders}, HostNetwork: os.Getenv("NETWORK") == "host"}
	if limits := os.Getenv("LIMITS"); limits != "" {
		spec.Limits = strings.Fields(limits)
	}
	if layout := os.Getenv("IMAGE"); layout != "" {
		return deployImage(ctx, n, h, layout)
	}
	if shared := os.Getenv("SHARED"); shared != "" {
		dir, err := h.Dir(shared)
		if err != nil {
			return err
		}
		spec.Mounts = []system.Mount{{From: dir, To: "/shared", Writable: true}, {From: dir, To: "/seen"}}
	}
	box, err := h.Sandbox(ctx, n, spec)
	if err != nil {
		return err
	}

	port := "80" // which is only root's elsewhere
	if spec.HostNetwork {
		port = "0"
	}
	inner, err := box.Listen(ctx, n, "inner", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	if _, err := box.Ensure(ctx, n, system.Spec{
		Name: "web", Program: web, Listeners: []*system.Listener{orders, inner}, Ready: "notify",
	}); err != nil {
		return err
	}
	dir, err := box.Dir("notes")
	if err == nil {
		err = dir.WriteFile("note", []byte(edition))
	}
	if err != nil {
		return err
	}
	if script := os.Getenv("SCRIPT"); script != "" {
		exit, err := box.Run(ctx, n, system.Spec{Name: "look", Program: "sh", Args: []any{"-c", script}})
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "look: %s\nlook ends\n", exit.Output)
	}
	said, err := ask(ctx, box, inner.Addr())
	if err != nil {
		return err
	}
	slog.Info("inside", "page", said, "orders", orders.Addr())
	if os.Getenv("FAIL") != "" {
		return errors.New("fails as it was told")
	}
	return nil
}

// machine returns the machine of the sandbox.
func machine(ctx context.Context, n *system.Nursery, here *system.Host) (*system.Host, error) {
	to := os.Getenv("SSH")
	if to == "" {
		return here, nil
	}
	m, err := ssh.Open(ctx, to, ssh.Options{Name: "machine"})
	if err != nil {
		return nil, err
	}
	return system.Open(ctx, n, m)
}

// deployImage runs the program of an image, which says what it sees.
func deployImage(ctx context.Context, n *system.Nursery, h *system.Host, layout string) error {
	images, err := h.Dir("images")
	if err != nil {
		return err
	}
	path, err := images.On(h)
	if err != nil {
		return err
	}
	image, err := oci.Unpack(layout, "", path)
	if err != nil {
		return err
	}
	root, err := h.Dir(image.Root)
	if err != nil {
		return err
	}
	box, err := h.Sandbox(ctx, n, system.Sandbox{Name: "image", Root: root})
	if err != nil {
		return err
	}
	exit, err := box.Run(ctx, n, system.Spec{Name: "look", Program: image.Args[0], Args: []any{image.Args[1]}, Env: image.Env})
	fmt.Fprintf(os.Stderr, "look: %s\nlook ends\n", exit.Output)
	return err
}

// look says what a process sees, where there is no shell.
func look() {
	entries, err := os.ReadDir("/")
	if err != nil {
		fmt.Println(err)
	}
	for _, e := range entries {
		fmt.Print(e.Name(), " ")
	}
	text, err := os.ReadFile("/etc/note")
	fmt.Println(string(text), err, os.Getenv("A"))
	fmt.Println(os.WriteFile("/etc/note", nil, 0o644))
	if _, err := os.Stat("/etc/hidden"); err != nil {
		fmt.Println(err)
	}
}

// ask asks a server in a sandbox.
func ask(ctx context.Context, box *system.Host, address string) (string, error) {
	c := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, network, _ string) (net.Conn, error) { return box.Dial(ctx, network, address) },
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://inner/", nil)
	if err != nil {
		return "", err
	}
	answer, err := c.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}
