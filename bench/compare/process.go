package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	roleVariable    = "DIVISI_BENCH_ROLE"    // system and side of a process, such as "gRPC client"
	controlVariable = "DIVISI_BENCH_CONTROL" // the socket at which it gets its orders
	serverVariable  = "DIVISI_BENCH_SERVER"  // the socket of its system
)

// order is what a process is asked.
type order struct {
	Run      bool // make calls; else only say what was used
	Payload  payload
	Callers  int
	Time     time.Duration
	Deadline time.Duration
}

// answer is what it says.
type answer struct {
	Role  string // the first one only
	Err   string
	Usage usage
	Load  load
}

// usage is what a process has used since it began.
type usage struct {
	CPU     time.Duration
	Mallocs uint64
}

func used() usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		exit(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{CPU: time.Duration(r.Utime.Nano() + r.Stime.Nano()), Mallocs: m.Mallocs}
}

func (u usage) since(before usage) usage {
	return usage{CPU: u.CPU - before.CPU, Mallocs: u.Mallocs - before.Mallocs}
}

// process is a process that takes orders.
type process struct {
	conn net.Conn
	in   *json.Decoder
	out  *json.Encoder
	pid  int
}

// ask gives an order and returns the answer.
func (p *process) ask(o order) (answer, error) {
	if err := p.out.Encode(o); err != nil {
		return answer{}, err
	}
	var a answer
	if err := p.in.Decode(&a); err != nil {
		return answer{}, err
	}
	if a.Err != "" {
		return answer{}, fmt.Errorf("%s", a.Err)
	}
	return a, nil
}

// pair is the two processes of a system.
type pair struct {
	system
	client, server *process
}

// start starts the processes of a system in a folder. They end when their orders do.
func (s system) start(ctx context.Context, dir string) (*pair, error) {
	control, err := net.Listen("unix", filepath.Join(dir, "control"))
	if err != nil {
		return nil, err
	}
	defer control.Close()
	env := func(side string) string {
		return strings.Join([]string{
			roleVariable + "=" + s.name + " " + side,
			controlVariable + "=" + filepath.Join(dir, "control"),
			serverVariable + "=" + filepath.Join(dir, "server"),
		}, "\n")
	}

	p := &pair{system: s}
	if s.deploy != nil {
		if err := s.deploy(ctx, dir, env); err != nil {
			return nil, err
		}
		return p, p.accept(control, 2)
	}
	for _, side := range []string{"server", "client"} {
		if err := spawn(ctx, env(side)); err != nil {
			return nil, err
		}
		if err := p.accept(control, 1); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// spawn starts this program with more variables in its environment.
func spawn(ctx context.Context, env string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), strings.Split(env, "\n")...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() // it ends with its orders
	return nil
}

// accept waits for a number of processes to say who they are.
func (p *pair) accept(control net.Listener, number int) error {
	for range number {
		if err := control.(*net.UnixListener).SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		conn, err := control.Accept()
		if err != nil {
			return fmt.Errorf("%s does not start: %w", p.name, err)
		}
		peer := &process{conn: conn, in: json.NewDecoder(conn), out: json.NewEncoder(conn)}
		var hello answer
		if err := peer.in.Decode(&hello); err != nil {
			return err
		}
		if peer.pid, err = pidOf(conn); err != nil {
			return err
		}
		if strings.HasSuffix(hello.Role, " client") {
			p.client = peer
		} else {
			p.server = peer
		}
	}
	return nil
}

// end ends the processes.
func (p *pair) end() {
	p.client.conn.Close()
	p.server.conn.Close()
}

// play does what a process of a system has to do.
func play(role string) error {
	name, side, _ := strings.Cut(role, " ")
	s, err := findSystem(name)
	if err != nil {
		return err
	}
	socket := os.Getenv(serverVariable)
	switch {
	case s.deploy != nil:
		return playDivisi(side)
	case side == "server":
		return s.serve(socket, func() { go func() { exit(obey(role, nil)) }() })
	}
	callers, err := s.connect(socket)
	if err != nil {
		return err
	}
	return obey(role, callers)
}

// obey does what it is told to until nothing more comes.
func obey(role string, callers func() (caller, error)) error {
	conn, err := net.Dial("unix", os.Getenv(controlVariable))
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	if err := out.Encode(answer{Role: role}); err != nil {
		return err
	}
	crew := crew{hire: callers}
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return nil // the end
		}
		var a answer
		if o.Run {
			if a.Load, err = crew.run(o); err != nil {
				a.Err = err.Error()
			}
		}
		a.Usage = used()
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}
