package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/divisi-go/divisi/bench/overload/work"
)

// system is one way of making calls.
type system struct {
	name   string
	deploy func(ctx context.Context, dir string, with work.Setting) error // starts all processes
	play   func(side string) error                                        // is one of them; nil where another program is
}

var systems = []system{
	{"gRPC", deployGRPC, playGRPC},
	{"Service Weaver", deployServiceWeaver, nil},
	{"Divisi", deployDivisi, playDivisi},
}

// programs is the folder of the program of Service Weaver, which is of a module of its own.
var programs string

// taking returns the systems that take part.
func taking() (list []system) {
	for _, s := range systems {
		if _, err := os.Stat(weaverProgram()); s.play == nil && (programs == "" || err != nil) {
			continue
		}
		list = append(list, s)
	}
	return list
}

func weaverProgram() string { return filepath.Join(programs, "serviceweaver") }

// deployServiceWeaver starts what starts the others.
func deployServiceWeaver(ctx context.Context, dir string, with work.Setting) error {
	return spawn(ctx, weaverProgram(), with.Env("Service Weaver", "deployer", dir))
}

// crew is the processes of a system while they run.
type crew struct {
	client net.Conn
	in     *json.Decoder
	cancel context.CancelFunc

	life    net.Listener   // as long as it is there, processes are
	joining sync.WaitGroup // adds to members until life is closed
	members []net.Conn     // all processes
}

// patience is how long a process may take to start, or a measurement to end.
const patience = 30 * time.Second

// start starts the processes of a system. They end with ctx, or with end.
func (s *system) start(ctx context.Context, dir string, with work.Setting) (*crew, error) {
	control, err := net.Listen("unix", work.Control(dir))
	if err != nil {
		return nil, err
	}
	defer control.Close()
	if err := control.(*net.UnixListener).SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	c := new(crew)
	if c.life, err = net.Listen("unix", work.Life(dir)); err != nil {
		return nil, err
	}
	c.joining.Go(c.join)
	ctx, c.cancel = context.WithCancel(ctx)
	late := time.AfterFunc(2*patience, c.cancel)
	err = s.deploy(ctx, dir, with)
	late.Stop()
	if err == nil {
		c.client, err = control.Accept()
	}
	if err != nil {
		c.end()
		return nil, fmt.Errorf("%s does not start: %w", s.name, err)
	}

	c.in = json.NewDecoder(c.client)
	return c, nil
}

// join takes processes in.
func (c *crew) join() {
	for {
		conn, err := c.life.Accept()
		if err != nil {
			return
		}
		c.members = append(c.members, conn)
	}
}

// end ends the processes.
func (c *crew) end() {
	c.life.Close()
	c.joining.Wait()
	for _, member := range c.members {
		member.Close()
	}
	if c.client != nil {
		c.client.Close()
	}
	c.cancel()
}

// stacks shows what all processes do, which ends them.
func (c *crew) stacks(w io.Writer) {
	c.life.Close()
	c.joining.Wait()
	for _, member := range c.members {
		err := member.SetDeadline(time.Now().Add(patience))
		if err == nil {
			_, err = member.Write([]byte{1})
		}
		if err == nil {
			_, err = io.Copy(w, member)
		}
		if err != nil {
			fmt.Fprintf(w, "a process does not say what it does: %v\n", err)
		}
	}
}

// ask has the client make calls. If it does not come to an end, all processes show what they do.
func (c *crew) ask(o work.Order) (s work.Seen, err error) {
	if err := c.client.SetDeadline(time.Now().Add(o.Time + patience)); err != nil {
		return s, err
	}
	if err := json.NewEncoder(c.client).Encode(o); err != nil {
		return s, err
	}
	if err := c.in.Decode(&s); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.stacks(os.Stderr)
		}
		return s, fmt.Errorf("the client does not answer: %w", err)
	}
	return s, nil
}

// spawn starts a program with more variables in its environment.
func spawn(ctx context.Context, program string, env []string) error {
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() // it ends with ctx
	return nil
}

// play does what a process of a system has to do.
func play(name, side string) error {
	for _, s := range systems {
		if s.name == name && s.play != nil {
			return s.play(side)
		}
	}
	return fmt.Errorf("there is no system %q", name)
}
