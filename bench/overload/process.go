package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	roleVariable    = "DIVISI_BENCH_ROLE"    // system and side of a process, such as "gRPC client"
	controlVariable = "DIVISI_BENCH_CONTROL" // the socket at which it gets its orders
	serversVariable = "DIVISI_BENCH_SERVERS" // how many servers there are, at sockets in the folder of that
	slowVariable    = "DIVISI_BENCH_SLOW"    // set for a server that is to be slow
)

// caller makes one call.
type caller func(context.Context, Task) ([]byte, error)

// system is one way of making calls.
type system struct {
	name   string
	deploy func(ctx context.Context, dir string, c *setting) error // starts all processes
	play   func(side string) error                                 // is one of them
}

var systems = []system{
	{"gRPC", deployGRPC, playGRPC},
	{"Divisi", deployDivisi, playDivisi},
}

// setting is the processes of a case.
type setting struct {
	servers int
	slow    bool // the first one is
	single  bool // servers have one processor each
}

// env returns the variables of a process; sides are "client" and "0", "1", ....
func (s *setting) env(system, side, dir string) []string {
	env := []string{
		roleVariable + "=" + system + " " + side,
		controlVariable + "=" + filepath.Join(dir, "control"),
		serversVariable + "=" + strconv.Itoa(s.servers),
	}
	if s.single && side != "client" {
		env = append(env, "GOMAXPROCS=1")
	}
	if s.slow && side == "0" {
		env = append(env, slowVariable+"=1")
	}
	return env
}

// crew is the processes of a system while they run.
type crew struct {
	client net.Conn
	in     *json.Decoder
	end    context.CancelFunc
}

// start starts the processes of a system. They end with ctx, or with end.
func (s *system) start(ctx context.Context, dir string, with *setting) (*crew, error) {
	control, err := net.Listen("unix", filepath.Join(dir, "control"))
	if err != nil {
		return nil, err
	}
	defer control.Close()
	ctx, cancel := context.WithCancel(ctx)
	c := &crew{end: cancel}
	if err := s.deploy(ctx, dir, with); err != nil {
		return nil, err
	}
	if err := control.(*net.UnixListener).SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	if c.client, err = control.Accept(); err != nil {
		return nil, fmt.Errorf("%s does not start: %w", s.name, err)
	}
	c.in = json.NewDecoder(c.client)
	return c, nil
}

// ask has the client make calls.
func (c *crew) ask(o order) (seen, error) {
	if err := json.NewEncoder(c.client).Encode(o); err != nil {
		return seen{}, err
	}
	var s seen
	err := c.in.Decode(&s)
	return s, err
}

// spawn starts this program with more variables in its environment.
func spawn(ctx context.Context, env []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() // it ends with ctx
	return nil
}

// play does what a process of a system has to do.
func play(role string) error {
	name, side, _ := strings.Cut(role, " ")
	for _, s := range systems {
		if s.name == name {
			return s.play(side)
		}
	}
	return fmt.Errorf("there is no system %q", name)
}

// socket is where a server is.
func socket(dir string, i int) string { return filepath.Join(dir, "server"+strconv.Itoa(i)) }

// sockets returns where all servers are, for a process of a system.
func sockets() ([]string, error) {
	n, err := strconv.Atoi(os.Getenv(serversVariable))
	if err != nil {
		return nil, err
	}
	var all []string
	for i := range n {
		all = append(all, socket(filepath.Dir(os.Getenv(controlVariable)), i))
	}
	return all, nil
}

// obey makes calls as it is told to until nothing more comes.
func obey(call caller) error {
	conn, err := net.Dial("unix", os.Getenv(controlVariable))
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return nil // the end
		}
		if err := out.Encode(o.run(call)); err != nil {
			return err
		}
	}
}
