//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/lab/fabric"
	"github.com/divisi-go/divisi/ssh/sshtest"
	"github.com/divisi-go/divisi/system"
)

var (
	hosts   = flag.Int("hosts", 1, "to which the test of a fleet deploys, 3 at most")
	keepers = flag.Int("keepers", 1, "that it kills")
	cut     = flag.Duration("cut", 0, "how long one of its hosts cannot be reached; 0 for never")
)

// patience bounds how long a run may be silent.
const patience = 2 * time.Minute

// fleet is a lab: hosts with an SSH server and nothing else, a desk from which they are deployed to, and a floor with the clients.
type fleet struct {
	t       *testing.T
	lab     *lab.Lab
	dir     string // which all of them have
	hosts   []string
	trading sync.WaitGroup
	over    chan struct{} // closed when no more orders are sent
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), hosts: []string{"host1", "host2", "host3"}[:*hosts], over: make(chan struct{})}
	f.lab = lab.New(t, lab.Config{Names: append([]string{"desk", "floor"}, f.hosts...), Share: []string{f.dir}})
	for i, name := range f.hosts {
		host, key := f.lab.Host(name), []string{"id_ed25519", "id_ecdsa", "id_rsa"}[i] // that are looked for
		files := filepath.Join(f.dir, host.Name())
		must(t, os.Mkdir(files, 0o700))
		s := sshtest.New(t, sshtest.Config{On: &sshtest.Machine{
			Addr: host.Name() + ":2222", Dir: files,
			Run: func(ctx context.Context, words *os.File, args ...string) error {
				_, err := host.Run(ctx, lab.Command{Args: args, Stderr: words})
				return err
			},
		}})
		f.on("desk", fmt.Sprintf("mkdir -p ~/.ssh; install -m 600 %s ~/.ssh/%s; cat %s >>~/.ssh/known_hosts", s.Key, key, s.KnownHosts))
	}
	return f
}

// on runs a script on a host of the lab.
func (f *fleet) on(host, script string) string {
	f.t.Helper()
	said, err := f.lab.Host(host).Exec(f.t.Context(), "sh", "-ec", script)
	must(f.t, err)
	return said
}

// deployment is a run of the program on the desk.
type deployment struct {
	t     *testing.T
	words *os.File
	lines *bufio.Scanner
	kill  context.CancelFunc
}

// deploy runs a version of the program.
func (f *fleet) deploy(version int) *deployment {
	f.t.Helper()
	words, theirs, err := os.Pipe()
	must(f.t, err)
	var to []string
	for _, host := range f.hosts {
		to = append(to, sshtest.User+"@"+host+":2222")
	}
	program := build(f.t, f.dir, version)
	ctx, kill := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer theirs.Close()
		args := []string{program, "-listen", ":7000", "-on", strings.Join(to, ",")}
		_, _ = f.lab.Host("desk").Run(ctx, lab.Command{Args: args, Stderr: theirs}) // how it ends is said by its words
	}()
	f.t.Cleanup(func() {
		kill()
		<-over
		words.Close()
	})
	return &deployment{f.t, words, bufio.NewScanner(words), kill}
}

// until waits until the run has said some words so often.
func (d *deployment) until(times int, words string) {
	d.t.Helper()
	must(d.t, d.words.SetReadDeadline(time.Now().Add(patience)))
	for d.lines.Scan() {
		d.t.Log(d.lines.Text())
		if times -= strings.Count(d.lines.Text(), words); times <= 0 {
			return
		}
	}
	d.t.Fatalf("it does not say %q %d times more: %v", words, times, d.lines.Err())
}

// sent returns how many bytes the desk has sent to each host.
func (f *fleet) sent() map[string]uint64 {
	f.t.Helper()
	status, err := f.lab.Status(f.t.Context())
	must(f.t, err)
	all := map[string]uint64{}
	for _, link := range status.Links {
		if link.From == "desk" && slices.Contains(f.hosts, link.To) {
			all[link.To] = link.Bytes
		}
	}
	return all
}

// servers returns the processes of all servers.
func (f *fleet) servers() (all []string) {
	f.t.Helper()
	for _, host := range f.hosts {
		said := f.on(host, `cd /proc; for p in [0-9]*; do tr '\0' ' ' <$p/cmdline | sed -n "s/^[^ ]*program \(orderd\|positiond\) .*/\1 $p\n/p"; done 2>/dev/null; true`)
		for line := range strings.Lines(said) {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, host+" "+line)
			}
		}
	}
	slices.Sort(all)
	return all
}

// killKeeper kills the keeper of a host.
func (f *fleet) killKeeper(host string) {
	f.t.Helper()
	f.on(host, `cd /proc; for p in [0-9]*; do tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^divisi keeper' && kill -9 $p; done; true`)
}

// trader is a client of a host, whose orders change nothing in the end.
type trader struct {
	sender
	host string
	sent int
}

// trade has clients send orders to all hosts until over is closed.
func (f *fleet) trade() []*trader {
	var all []*trader
	for _, host := range f.hosts {
		dial := func() (net.Conn, error) { return f.lab.Host("floor").Dial(context.Background(), "tcp", host+":7000") }
		c := &trader{sender: sender{dial: dial}, host: host}
		all = append(all, c)
		f.trading.Go(func() {
			for ; ; c.sent++ {
				select {
				case <-f.over:
					return
				case <-time.After(10 * time.Millisecond):
				}
				id := fmt.Sprint("order-", c.sent)
				if answer := c.send(fmt.Sprintf("%s 17 %d", id, 1-2*(c.sent%2))); answer != id+" accepted" {
					f.t.Errorf("%s answers %q", host, answer)
					return
				}
			}
		})
	}
	return all
}

// stop has the clients stop, and fails the test unless no connection was broken and every order is known.
func (f *fleet) stop(all []*trader) {
	f.t.Helper()
	close(f.over)
	f.trading.Wait()
	for _, c := range all {
		if c.sent == 0 || c.broken > 0 {
			f.t.Errorf("%d orders were accepted on %s, and %d connections broken", c.sent, c.host, c.broken)
		}
		for i := range c.sent {
			id := fmt.Sprint("order-", i)
			if answer := c.send(id + " 17 2"); !strings.HasPrefix(answer, id+" rejected: the id is that of the order") {
				f.t.Fatalf("%s does not know %s: %q", c.host, id, answer)
			}
		}
		f.t.Logf("%d orders were accepted on %s", c.sent, c.host)
	}
}

// TestFleet deploys to hosts by SSH, on which nothing is installed. Run again the program sends next to nothing and leaves
// all as it is, and so it does when a keeper is killed, and when a host cannot be reached for a while. The next version takes
// over. No order is lost, and no connection broken.
func TestFleet(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	first := f.deploy(0)
	first.until(1, " runs program=orderd")
	t.Logf("the first run has sent %v bytes", f.sent())
	traders := f.trade()
	before := f.servers()
	if len(before) != 2*len(f.hosts) {
		t.Fatalf("the servers are %q", before)
	}
	same := func(when string) {
		t.Helper()
		if now := f.servers(); !slices.Equal(now, before) {
			t.Errorf("%s, %q have become %q", when, before, now)
		}
	}
	first.kill()
	same("without the program")

	had := f.sent()
	second := f.deploy(0)
	second.until(1, " runs program=orderd")
	for host, sent := range f.sent() {
		sent -= had[host]
		t.Logf("the second run sends %d bytes to %s", sent, host)
		if sent > 20_000 {
			t.Errorf("that is more than 20,000")
		}
	}
	same("run again")

	for range *keepers {
		f.killKeeper("host1")
		second.until(1, "the keeper is back")
	}
	same("after the end of keepers")
	if *cut > 0 {
		f.away(second)
		same("after a host was cut off")
	}

	next := f.deploy(1)
	next.until(1, " runs program=orderd")
	second.until(1, system.ErrTaken.Error())
	if now := f.servers(); len(now) != len(before) || slices.ContainsFunc(now, func(s string) bool { return slices.Contains(before, s) }) {
		t.Errorf("the upgrade makes %q of %q", now, before)
	}
	f.stop(traders)
}

// away cuts the line to a host for a while.
func (f *fleet) away(d *deployment) {
	f.t.Helper()
	must(f.t, f.lab.Change(f.t.Context(), "desk", "host1", fabric.Cut()))
	healed := time.After(*cut)
	d.until(1, "the host cannot be reached")
	select {
	case <-healed:
	case <-f.t.Context().Done():
		must(f.t, errors.New("the test has ended"))
	}
	must(f.t, f.lab.Heal(f.t.Context()))
	d.until(1, "the keeper is back")
}
