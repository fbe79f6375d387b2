package main

import (
	"context"
	"errors"
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
	many bool // it can be told to have many connections
}

// rivals are all of them, in the order of the tables.
var rivals = []contestant{
	{"raw", "a socket for each caller, lengths and bytes, buffers used again", simple{serve: serveRaw, connect: connectRaw}, false},
	{"Divisi", "one connection, the whole product with its metrics and traces", divisiRival{}, true},
	{"gRPC", "one connection, no interceptors", simple{serve: serveGRPC, connect: connectGRPC, lack: lackOfGRPC}, true},
	{"Connect", "HTTP/2 without compression, no interceptors", simple{serve: serveConnect, connect: connectConnect, lack: lackOfConnect}, false},
	{"dRPC", "a connection for each caller, for it carries one call at a time", simple{serve: serveDRPC, connect: connectDRPC}, false},
	{"Service Weaver", "version 0.24.6, the whole product; it has no Unix sockets", serviceWeaver{}, true},
}

func names() (list []string) {
	for _, r := range rivals {
		list = append(list, r.name)
	}
	return list
}

func isRival(name string) bool { return slices.Contains(names(), name) }

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

// programs is the folder of the program of Service Weaver, which is built of a module of its own: what it
// requires would change what others get.
var programs string

func weaverProgram() string { return filepath.Join(programs, "serviceweaver") }

// serviceWeaver is Service Weaver. Its program has a part for the deployer, which starts the other two.
type serviceWeaver struct{}

var _ rival = serviceWeaver{}

func (serviceWeaver) start(ctx context.Context, name string, e endpoint) error {
	return spawn(ctx, weaverProgram(), e.environment(name+"/deployer"))
}

func (serviceWeaver) play(string, string, endpoint) error {
	return errors.New("the program of Service Weaver is another one")
}

func (serviceWeaver) lacks(m measurement) string {
	if m.network == "unix" {
		return "it has no Unix sockets"
	}
	if _, err := os.Stat(weaverProgram()); programs == "" || err != nil {
		return "its program was not given"
	}
	return ""
}
