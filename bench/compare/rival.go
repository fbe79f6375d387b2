package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/bench/load"
)

// rival is one way of making calls.
type rival interface {
	// start starts a process that calls and one that answers, which take their orders from the endpoint.
	start(ctx context.Context, name string, e endpoint) error
	// play is what a process that start has started does.
	play(role, side string, e endpoint) error
	// lacks says why it does not take part in a case; "" if it does.
	lacks(m measurement) string
}

// contestant is a rival with its name and what is to be known of it.
type contestant struct {
	name, note string
	rival
}

// rivals are all of them, in the order of the tables.
var rivals = []contestant{
	{"raw", "a socket for each caller, lengths and bytes, buffers used again", simple{serve: serveRaw, connect: connectRaw}},
	{"Divisi", "one connection, the whole product with its metrics and traces", divisiRival{}},
	{"gRPC", "one connection, no interceptors", simple{serve: serveGRPC, connect: connectGRPC, lack: lackOfGRPC}},
	{"Connect", "HTTP/2 without compression, no interceptors", simple{serve: serveConnect, connect: connectConnect, lack: lackOfConnect}},
	{"dRPC", "a connection for each caller, for it carries one call at a time", simple{serve: serveDRPC, connect: connectDRPC}},
	{"Service Weaver", "version 0.24.6, the whole product; it has no Unix sockets", serviceWeaver{}},
}

func names() (list []string) {
	for _, r := range rivals {
		list = append(list, r.name)
	}
	return list
}

func isRival(name string) bool { return slices.Contains(names(), name) }

// endpoint is where the processes of a rival meet.
type endpoint struct {
	network string // unix, tcp or tls
	address string
	dir     string // has the socket of orders, and the file with the identity
}

func newEndpoint(network, dir string) (endpoint, error) {
	e := endpoint{network: network, address: filepath.Join(dir, "server"), dir: dir}
	if network == "unix" {
		return e, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // to find a port
	if err != nil {
		return e, err
	}
	e.address = l.Addr().String()
	if err := l.Close(); err != nil {
		return e, err
	}
	return e, writeIdentity(e.identity())
}

func (e endpoint) control() string  { return filepath.Join(e.dir, "control") }
func (e endpoint) identity() string { return filepath.Join(e.dir, "identity") }

// environment tells a process what it is.
func (e endpoint) environment(role string) []string {
	return []string{
		load.RoleVariable + "=" + role, load.ControlVariable + "=" + e.control(),
		load.NetworkVariable + "=" + e.network, load.AddressVariable + "=" + e.address,
		load.IdentityVariable + "=" + e.identity(),
	}
}

// here is the endpoint that this process was told.
func here() endpoint {
	return endpoint{
		network: os.Getenv(load.NetworkVariable), address: os.Getenv(load.AddressVariable),
		dir: filepath.Dir(os.Getenv(load.ControlVariable)),
	}
}

func (e endpoint) kind() string {
	if e.network == "unix" {
		return "unix"
	}
	return "tcp"
}

func (e endpoint) listen() (net.Listener, error) {
	l, err := net.Listen(e.kind(), e.address)
	if err != nil || e.network != "tls" {
		return l, err
	}
	config, err := tlsConfig(e.identity())
	return tls.NewListener(l, config), err
}

func (e endpoint) dial(ctx context.Context) (net.Conn, error) {
	if e.network != "tls" {
		var d net.Dialer
		return d.DialContext(ctx, e.kind(), e.address)
	}
	config, err := tlsConfig(e.identity())
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{Config: config}
	return d.DialContext(ctx, "tcp", e.address)
}

// simple is a rival of which only that is known: how it answers, and how it calls.
type simple struct {
	serve   func(net.Listener) error
	connect func(endpoint) (func() (load.Caller, error), error)
	lack    func(measurement) string // may be nil
}

var _ rival = simple{}

func (s simple) start(ctx context.Context, name string, e endpoint) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, side := range []string{"server", "client"} {
		if err := spawn(ctx, self, e.environment(name+"/"+side)); err != nil {
			return err
		}
	}
	return nil
}

// spawn starts a program, which ends with its orders.
func spawn(ctx context.Context, program string, environment []string) error {
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait()
	return nil
}

func (s simple) play(role, side string, e endpoint) error {
	if side == "server" {
		l, err := e.listen()
		if err != nil {
			return err
		}
		go func() { load.Exit(load.Obey(role, nil)) }()
		return s.serve(l)
	}
	callers, err := s.connect(e)
	if err != nil {
		return err
	}
	return load.Obey(role, callers)
}

func (s simple) lacks(m measurement) string {
	if s.lack == nil {
		return ""
	}
	return s.lack(m)
}

// play does what a process of a rival has to do.
func play(role string) error {
	name, side, _ := strings.Cut(role, "/")
	for _, r := range rivals {
		if r.name == name {
			return r.play(role, side, here())
		}
	}
	return fmt.Errorf("there is no rival %q", name)
}
