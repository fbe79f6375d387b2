// Standin is a program by the name of etcd, which etcd's own tests start, and which is the store: it takes etcd's flags,
// and becomes "divisi-store serve", which lies beside it, with those that say the same.
//
// The store has one member there. So that a test which asks for three out of habit runs as well, the other two addresses
// lead to that one. A test that needs the members fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.uber.org/zap"
)

func main() {
	err := run(parse(os.Args[1:]))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
}

// flags are etcd's, by their names.
type flags map[string]string

// parse takes the value of a flag from behind an equal sign, or from the next argument, unless that is a flag.
func parse(arguments []string) flags {
	given := flags{}
	for i := 0; i < len(arguments); i++ {
		name, value, found := strings.Cut(strings.TrimLeft(arguments[i], "-"), "=")
		if !found && i+1 < len(arguments) && !strings.HasPrefix(arguments[i+1], "-") {
			i++
			value = arguments[i]
		}
		given[name] = value
	}
	return given
}

func (f flags) has(name string) bool {
	_, found := f[name]
	return found
}

func run(f flags) error {
	if f.has("version") {
		fmt.Println("etcd Version:", version.Version)
		return nil
	}
	if f["initial-cluster-state"] == "existing" {
		return errors.New("the store has one member")
	}
	scheme, host, _ := strings.Cut(f["listen-client-urls"], "://")
	at, err := address(scheme, host)
	if err != nil {
		return err
	}
	to, err := f.first()
	if err != nil {
		return err
	}
	if to != "" {
		return lead(at, to)
	}
	arguments, err := f.serve(at, host)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program := filepath.Join(filepath.Dir(self), "divisi-store")
	return syscall.Exec(program, append([]string{program}, arguments...), os.Environ())
}

// first returns the address of the first member, or nothing if that is this one. The tests give a member the port that
// is one below the one by which others know it.
func (f flags) first() (string, error) {
	first, _, _ := strings.Cut(f["initial-cluster"], ",")
	name, at, _ := strings.Cut(first, "=")
	if name == f["name"] {
		return "", nil
	}
	u, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return "", err
	}
	scheme, _, _ := strings.Cut(f["listen-client-urls"], "://")
	return address(scheme, net.JoinHostPort(u.Hostname(), strconv.Itoa(port-1)))
}

// address returns where clients connect, as the store takes it. The path of a socket begins in the folder of the test.
func address(scheme, at string) (string, error) {
	if !strings.HasPrefix(scheme, "unix") {
		return at, nil
	}
	path, err := filepath.Abs(at)
	return "unix://" + path, err
}

// serve returns the arguments of the store.
func (f flags) serve(at, host string) ([]string, error) {
	arguments := []string{"serve", "--data", f["data-dir"], "--listen", at, "--name", f["name"]}
	for _, same := range []struct{ etcds, ours string }{
		{"quota-backend-bytes", "--quota"},
		{"auth-token", "--tokens"},
		{"cert-file", "--tls-cert"},
		{"key-file", "--tls-key"},
		{"trusted-ca-file", "--tls-client-ca"},
	} {
		if f.has(same.etcds) {
			arguments = append(arguments, same.ours, f[same.etcds])
		}
	}
	if f.has("client-cert-auth") {
		arguments = append(arguments, "--tls-users")
	}
	if !f.has("auto-tls") {
		return arguments, nil
	}
	made, err := transport.SelfCert(zap.NewNop(), filepath.Join(f["data-dir"], "fixtures"), []string{host}, 1)
	if err != nil {
		return nil, err
	}
	return append(arguments, "--tls-cert", made.CertFile, "--tls-key", made.KeyFile), nil
}

// lead brings connections of an address to another one, until it is asked to end.
func lead(from, to string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	l, err := net.Listen(network(from))
	if err != nil {
		return err
	}
	stopped := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stopped()
	err = reach(ctx, to)
	if err != nil {
		return err
	}
	fmt.Println("ready to serve client requests, which are brought to", to)

	var conns sync.WaitGroup
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			conns.Wait()
			return nil
		}
		if err != nil {
			return err
		}
		conns.Go(func() { bring(ctx, c, to) })
	}
}

func network(address string) (string, string) {
	path, found := strings.CutPrefix(address, "unix://")
	if found {
		return "unix", path
	}
	return "tcp", address
}

// reach waits until somebody listens.
func reach(ctx context.Context, at string) error {
	for ctx.Err() == nil {
		c, err := net.Dial(network(at))
		if err == nil {
			return c.Close()
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func bring(ctx context.Context, c net.Conn, to string) {
	defer c.Close()
	next, err := net.Dial(network(to))
	if err != nil {
		return
	}
	defer next.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = c.Close()
		_ = next.Close()
	})
	defer stop()

	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(c, next)
		_ = c.Close()
	})
	_, _ = io.Copy(next, c)
	_ = next.Close()
	back.Wait()
}
