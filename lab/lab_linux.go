package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"

	"github.com/divisi-go/divisi/lab/fabric"
	"github.com/divisi-go/divisi/lab/ground"
	"github.com/divisi-go/divisi/lab/inside"
	"github.com/divisi-go/divisi/lab/protocol"
)

// Config is what a lab has. The zero value has one host.
type Config struct {
	Hosts int      // how many there are, called host1, host2 and so on; default 1
	Names []string // what they are called, in place of Hosts
	Chain bool     // each host has links to the one before and the one after it only

	// Share are files and folders outside of which the hosts see at their own paths, read-only, where they would
	// see their own folders: such as one in /tmp. The program itself is always shared.
	Share []string

	Seed uint64 // of the lots that decide which frames are lost
}

// T is the part of a test that a lab needs.
type T interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Fatal(...any)
	Skip(...any)
}

// New makes a lab for a test, which ends with the test. Where the system does not allow one, the test is skipped, or
// fails with CI=true in the environment.
func New(t T, c Config) *Lab {
	t.Helper()
	l, err := Up(t.Context(), c)
	var forbidden *ForbiddenError
	if errors.As(err, &forbidden) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// nameForm is what hosts can be called.
var nameForm = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

// names returns the names of the hosts, or what is wrong with them.
func (c Config) names() ([]string, error) {
	names := c.Names
	if len(names) == 0 {
		count := c.Hosts
		if count == 0 {
			count = 1
		}
		if count < 0 || count > fabric.MaxHosts {
			return nil, fmt.Errorf("a lab of %d hosts cannot be: give 1 to %d", c.Hosts, fabric.MaxHosts)
		}
		for i := range count {
			names = append(names, "host"+strconv.Itoa(i+1))
		}
		return names, nil
	}

	if len(names) > fabric.MaxHosts {
		return nil, fmt.Errorf("a lab of %d hosts cannot be: give 1 to %d", len(names), fabric.MaxHosts)
	}
	for i, n := range names {
		switch {
		case !nameForm.MatchString(n) || n == "localhost":
			return nil, fmt.Errorf("no host can be called %q: give lower-case letters, digits and hyphens, such as db-1", n)
		case slices.Contains(names[:i], n):
			return nil, fmt.Errorf("two hosts are called %s: give each its own name", n)
		}
	}
	return names, nil
}

// Enter makes this process a part of a lab, and never returns, if it was started as one. It is called first in main, or
// in TestMain.
func Enter() {
	role := os.Getenv(protocol.Variable)
	if role == "" {
		return
	}
	_ = os.Unsetenv(protocol.Variable)
	if err := enter(role); err != nil {
		os.Exit(1) // which whoever has started this process was told, or has caused
	}
	os.Exit(0)
}

func enter(role string) error {
	life, err := protocol.Connection(os.NewFile(3, "life"))
	if err != nil {
		return err
	}
	if role == protocol.RoleHost {
		return inside.Serve(life)
	}

	f := os.NewFile(4, "listener")
	l, err := net.FileListener(f)
	_ = f.Close()
	if err != nil {
		return err
	}
	listener, ok := l.(*net.UnixListener)
	if !ok {
		return errors.New("the descriptor is no listener")
	}
	return ground.Serve(life, listener)
}
