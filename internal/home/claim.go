//go:build unix

package home

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Claim is the right of one process to a domain: to its journal, its logs and its sockets. It ends
// with the process, however that ends.
type Claim struct {
	Domain
	lock *os.File
}

// endTime bounds the wait for a process that holds a domain and has no door: it only begins, or ends.
const (
	endTime = 2 * time.Second
	endPoll = 20 * time.Millisecond
)

// Claim takes the domain for this process, and makes its folders, without what a killed process has
// left in that of sockets. If another process has it, the error is [ErrTaken].
func (d Domain) Claim() (*Claim, error) {
	if err := errors.Join(d.home.Make(), os.MkdirAll(d.State, 0o700), os.MkdirAll(d.Logs, 0o700)); err != nil {
		return nil, err
	}
	lock, err := d.lock()
	for end := time.Now().Add(endTime); errors.Is(err, ErrTaken) && !answers(d.Door) && time.Now().Before(end); {
		time.Sleep(endPoll)
		lock, err = d.lock()
	}
	if err != nil {
		return nil, err
	}

	c := &Claim{Domain: d, lock: lock}
	c.Clear()
	d.home.sweep()
	if err := c.enter(); err != nil {
		c.Release()
		return nil, err
	}
	return c, nil
}

// lock locks the domain, and leaves this process's number there for others to report.
func (d Domain) lock() (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(d.State, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", d.State, err), lock.Close())
		}
		holder, _ := os.ReadFile(lock.Name())
		return nil, errors.Join(fmt.Errorf("cannot use %s: %w (process %s)", d.State, ErrTaken,
			strings.TrimSpace(string(holder))), lock.Close())
	}

	if err = lock.Truncate(0); err == nil {
		_, err = lock.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Times of a gate: nobody stays in it for long, unless it waits for somebody who decides for a moment.
const (
	gateTime = 10 * time.Second
	gatePoll = 10 * time.Millisecond
)

// Gate waits until nobody else is about to decide about the domain, and keeps others waiting until the file
// that it returns is closed: the claim at a keeper and the sockets of the domain change hands together.
func (d Domain) Gate(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, gateTime)
	defer cancel()
	for {
		lock, err := d.lock()
		if !errors.Is(err, ErrTaken) {
			return lock, err
		}
		select {
		case <-time.After(gatePoll):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// Lock returns the file by which the domain is held. Another program of this process that has it open
// holds the domain as well.
func (c *Claim) Lock() *os.File { return c.lock }

// Inherited returns the claim whose lock another program of this process has left open.
func (d Domain) Inherited(lock *os.File) *Claim { return &Claim{Domain: d, lock: lock} }

// Release ends the claim, and removes the domain's sockets and folders that are empty then.
func (c *Claim) Release() error {
	c.Leave()
	return c.lock.Close()
}

// Leave removes the domain's sockets and folders that are empty then. The claim ends with the process, and
// not before everything else that the process has.
func (c *Claim) Leave() {
	c.Clear()
}

func answers(door string) bool {
	conn, err := net.Dial("unix", door)
	if err == nil {
		conn.Close()
	}
	return err == nil
}
