package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/program"
)

// Enter makes this process an agent for a program with a domain, and never returns, if it was started as one. It comes after
// whatever makes the process a keeper.
func Enter(domain string) {
	sum := os.Getenv(Variable)
	if sum == "" {
		return
	}
	base := os.Getenv(keepVariable)
	for _, name := range []string{Variable, keepVariable} {
		os.Unsetenv(name) // what it starts is no agent
	}
	err := check(sum)
	switch {
	case err == nil && base != "":
		err = keep(base)
	case err == nil:
		err = attend(domain)
	case base == "":
		_ = greeting{Damaged: true}.say() // the error is said as well
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "divisi agent:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// check says whether this program has arrived as it was sent.
func check(want string) error {
	got, err := artifact.Sum(program.Running)
	if err == nil && got != want {
		err = fmt.Errorf("the program was damaged on its way, or on the disk: its content has the sum %s, and not %s", got, want)
	}
	return err
}

// keep keeps this program in the state folder, also after the end of the machine.
func keep(base string) error {
	state, err := home.Find()
	if err != nil {
		return err
	}
	if err := state.Make(); err != nil {
		return err
	}
	arrived, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := program.Store(state).Make(func(dir string) (string, error) {
		target := filepath.Join(dir, base)
		return target, errors.Join(persist(arrived), os.Link(arrived, target))
	})
	if err != nil {
		return err
	}
	defer p.Release()
	folder := filepath.Dir(p.Path)
	return errors.Join(persist(folder), persist(filepath.Dir(folder)), sweep(state))
}

// persist has a file or a folder survive the end of the machine.
func persist(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// arriving begins the names of programs that are being sent.
const arriving = "arriving-"

// arrivalTime is after how long nobody sends a program any more.
const arrivalTime = 24 * time.Hour

// sweep removes what was left of programs that have not arrived.
func sweep(state home.Home) error {
	left, err := filepath.Glob(filepath.Join(state.CAS(), arriving+"*"))
	for _, path := range left {
		i, gone := os.Lstat(path)
		if gone == nil && time.Since(i.ModTime()) > arrivalTime {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// attend is the life of an agent, which ends with its input.
func attend(domain string) error {
	state, err := home.Find()
	if err != nil {
		return err
	}
	if err := state.Make(); err != nil {
		return err
	}
	programs := program.Store(state)
	if err := programs.Clean(); err != nil {
		slog.Warn("old programs are not removed", "why", err)
	}
	l, leave, err := listen(state.Agent(os.Getpid()))
	if err != nil {
		return err
	}
	defer leave()

	d := state.Domain(domain)
	ctx, end := context.WithCancel(context.Background())
	go func() {
		defer end()
		listenTo(os.Stdin)
	}()
	hello := greeting{
		Socket: l.Addr().String(), Door: state.Keeper().Door, Data: d.Data, Logs: state.Logs(), State: state.Dir, Runtime: state.Runtime,
	}
	if err := hello.say(); err != nil {
		return err
	}
	s := &service{state, program.Finds(programs), programs}
	return s.serve(ctx, l)
}

// Signs of life that a client gives, for a machine need not hear that the client cannot reach it any more.
const (
	signTime = 10 * time.Second
	deadTime = 6 // times signTime, after which the client has gone
)

// listenTo returns when the client has gone. Silence is counted while this process runs.
func listenTo(client io.Reader) {
	heard := make(chan struct{}, 1)
	go func() {
		defer close(heard)
		for sign := make([]byte, 1<<10); ; {
			if _, err := client.Read(sign); err != nil {
				return
			}
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}()
	tick := time.NewTicker(signTime)
	defer tick.Stop()
	for silent := 0; silent < deadTime; silent++ {
		select {
		case _, on := <-heard:
			if !on {
				return
			}
			silent = -1
		case <-tick.C:
		}
	}
}

// listen opens the socket of an agent, and removes those of agents that were killed.
func listen(path string) (l net.Listener, leave func(), err error) {
	folder := filepath.Dir(path)
	for range attempts { // one that ends at the same time may remove the folder
		if err = os.MkdirAll(folder, 0o700); err != nil {
			return nil, nil, err
		}
		clear(path)
		if l, err = net.Listen("unix", path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, nil, err
	}
	return l, func() {
		os.Remove(path)
		os.Remove(folder) // if it was the last one
	}, nil
}

// attempts is how often a folder may be removed as soon as it is made.
const attempts = 100

// clear removes the sockets of agents that were killed, and what has the path of one that begins.
func clear(path string) {
	entries, _ := os.ReadDir(filepath.Dir(path)) // what cannot be read stays
	for _, e := range entries {
		other := filepath.Join(filepath.Dir(path), e.Name())
		conn, err := net.Dial("unix", other)
		switch {
		case err == nil:
			conn.Close()
		case other == path || old(e):
			os.Remove(other)
		}
	}
}

// youngTime is how long somebody may be about to listen at a socket.
const youngTime = time.Minute

func old(e os.DirEntry) bool {
	i, err := e.Info()
	return err == nil && time.Since(i.ModTime()) > youngTime
}
