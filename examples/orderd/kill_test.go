package main

import (
	"bufio"
	"bytes"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/examples/orderd/orderd"
	"github.com/divisi-go/divisi/examples/orderd/positiond"
	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

var (
	orders   = flag.Int("orders", 2000, "that clients send in each test, at least")
	kills    = flag.Int("kills", 3, "in each test that kills, while they do")
	upgrades = flag.Int("upgrades", 5, "in the test that upgrades, while they do")
)

// TestOrderdKilled kills orderd while clients send orders.
func TestOrderdKilled(t *testing.T) {
	killed(t, func(o *orderd.Orderd, _ *positiond.Positiond) *system.Proc { return o.Proc })
}

// TestPositiondKilled kills positiond while clients send orders.
func TestPositiondKilled(t *testing.T) {
	killed(t, func(_ *orderd.Orderd, p *positiond.Positiond) *system.Proc { return p.Proc })
}

// killed kills a server while clients send orders.
func killed(t *testing.T, choose func(*orderd.Orderd, *positiond.Positiond) *system.Proc) {
	t.Parallel()
	ctx, n, h := systemtest.NewWith(t, system.Program{Strategy: system.OneForOne})
	dir := systemtest.Must(h.Dir("orderd"))(t)
	positions := systemtest.Must(positiond.Start(ctx, n, h, dir))(t)
	db := systemtest.Must(orderd.MakeDatabase(ctx, n, h, dir))(t)
	l := systemtest.Must(h.Listen(ctx, n, "orders", "127.0.0.1:0"))(t)
	o := systemtest.Must(orderd.Start(ctx, n, h, positions, l, db))(t)

	victim := choose(o, positions)
	accepted, _ := trade(t, o.Addr, *kills, func() {
		if err := syscall.Kill(victim.Pid(), syscall.SIGKILL); err != nil {
			t.Errorf("cannot kill %s: %v", victim.ID(), err)
		}
	})
	check(t, path(t, h, positions.Dir), path(t, h, db.File), accepted)
}

// TestProgramKilled kills the program that has started all of it, and runs it again.
func TestProgramKilled(t *testing.T) {
	home := systemtest.Home(t)
	program := deployed(t, os.Args[0], home)
	accepted, broken := trade(t, program.addr, *kills, func() {
		must(t, program.cmd.Process.Kill())
		program.ends()
		program = deployed(t, os.Args[0], home)
	})
	if broken > 0 {
		t.Errorf("%d connections were broken", broken)
	}
	check(t, filepath.Join(home, "positiond"), filepath.Join(home, "orders", "orders.db"), accepted)
}

// TestUpgraded has version after version of the program take the place of the one before. Nobody's order
// stays without an answer.
func TestUpgraded(t *testing.T) {
	home := systemtest.Home(t)
	version := 0
	program := deployed(t, build(t, home, version), home)
	accepted, broken := trade(t, program.addr, *upgrades, func() {
		version++
		next := deployed(t, build(t, home, version), home)
		if words := program.ends(); !strings.Contains(words, system.ErrTaken.Error()) {
			t.Errorf("version %d does not say that another one decides:\n%s", version-1, words)
		}
		program = next
	})
	if broken > 0 {
		t.Errorf("%d connections were broken", broken)
	}
	check(t, filepath.Join(home, "positiond"), filepath.Join(home, "orders", "orders.db"), accepted)

	must(t, program.cmd.Process.Signal(os.Interrupt)) // stops all of it
	if words := program.ends(); strings.Count(words, "upgraded server=") != 2 {
		t.Errorf("the last version has not upgraded two servers:\n%s", words)
	}
}

// build makes a version of the program in a folder, in the place of the one before: each is a byte longer.
func build(t *testing.T, dir string, version int) string {
	t.Helper()
	text, err := os.ReadFile(os.Args[0])
	must(t, err)
	file := filepath.Join(dir, "program")
	must(t, os.WriteFile(file+".next", append(text, make([]byte, version)...), 0o700))
	must(t, os.Rename(file+".next", file))
	return file
}

// run is a run of the program.
type run struct {
	cmd   *exec.Cmd
	addr  string // where orders are taken
	words bytes.Buffer
}

// deployed runs the program, and returns when orders are taken.
func deployed(t *testing.T, program, data string) *run {
	t.Helper()
	r := &run{cmd: exec.Command(program, "-listen", "127.0.0.1:0", "-data", data)}
	r.cmd.Stderr = io.MultiWriter(t.Output(), &r.words)
	stdout, err := r.cmd.StdoutPipe()
	must(t, err)
	must(t, r.cmd.Start())
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it has ended, unless the test has failed
		r.ends()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	r.addr = strings.TrimSpace(strings.TrimPrefix(line, "Orders are taken at "))
	return r
}

// ends waits for the end of the run, and returns what it has said.
func (r *run) ends() string {
	_ = r.cmd.Wait() // how it ends is said by its words
	return r.words.String()
}

// trade has clients send orders, and something happen meanwhile, so many times. It returns the ids of orders
// that were accepted, and how many connections were broken.
func trade(t *testing.T, addr string, times int, happen func()) (accepted []string, broken int) {
	const clients = 8
	var mu sync.Mutex // guards accepted, broken and answered
	answered, due, over := 0, make(chan bool, times), make(chan struct{})
	answer := func(id, text string) {
		mu.Lock()
		defer mu.Unlock()
		if text == id+" accepted" {
			accepted = append(accepted, id)
		} else if !strings.HasPrefix(text, id+" rejected: the position would be ") {
			t.Errorf("the order %s is answered by %q", id, text)
		}
		answered++
		if every := *orders / (times + 1); answered%every == 0 && answered/every <= times {
			due <- true
		}
	}
	done := func(sent int) bool {
		select {
		case <-over:
			return sent >= *orders/clients
		default:
			return t.Failed()
		}
	}

	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			s := sender{dial: func() (net.Conn, error) { return net.Dial("tcp", addr) }}
			for i := 0; !done(i); i++ {
				id := fmt.Sprintf("%d-%d", c, i)
				quantity := (1 + rand.N(400)) * (1 - 2*rand.N(2))
				answer(id, s.send(fmt.Sprintf("%s %d %d", id, rand.N(20), quantity)))
			}
			mu.Lock()
			defer mu.Unlock()
			broken += s.broken
		})
	}
	defer all.Wait()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		all.Wait()
	}()
	for range times {
		select {
		case <-due:
			happen()
		case <-gone: // the test has failed
		}
	}
	close(over)
	<-gone
	t.Logf("%d orders were answered, and %d connections broken", answered, broken)
	return accepted, broken
}

// sender is a client with a connection.
type sender struct {
	dial    func() (net.Conn, error)
	conn    net.Conn // nil before the first one, and after its end
	answers *bufio.Scanner
	broken  int // connections that have ended before an answer
}

// send sends an order until there is an answer, "" if there is none for a minute.
func (s *sender) send(order string) string {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if s.conn == nil {
			conn, err := s.dial()
			if err != nil {
				s.broken++
				continue
			}
			s.conn, s.answers = conn, bufio.NewScanner(conn)
		}
		s.conn.SetDeadline(end)
		fmt.Fprintln(s.conn, order)
		heard := s.answers.Scan()
		if heard && s.answers.Text() != orderd.Goodbye {
			return s.answers.Text()
		}
		if !heard {
			s.broken++
		}
		s.conn.Close()
		s.conn = nil
	}
	return ""
}

// check fails the test unless the database has the accepted orders, each once, and no other one, and the
// positions are their sum.
func check(t *testing.T, dir, file string, accepted []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	must(t, err)
	defer db.Close()
	rows, err := db.Query(`SELECT id, instrument, quantity FROM orders`)
	must(t, err)
	defer rows.Close()

	var stored []string
	var sums [len(positiond.Positions{})]int64
	for rows.Next() {
		var id string
		var m positiond.Move
		must(t, rows.Scan(&id, &m.Instrument, &m.Quantity))
		stored = append(stored, id)
		sums[m.Instrument] += m.Quantity
	}
	must(t, rows.Err())
	slices.Sort(stored)
	slices.Sort(accepted)
	if !slices.Equal(stored, accepted) {
		t.Errorf("%d orders are stored, and %d were accepted", len(stored), len(accepted))
	}
	positions, err := positiond.Map(dir)
	must(t, err)
	for i, sum := range sums {
		if position := positions[i].Load(); position != sum || max(sum, -sum) > orderd.Limit {
			t.Errorf("the position %d is %d, and its orders make %d", i, position, sum)
		}
	}
	t.Logf("%d orders are stored", len(stored))
}

// path returns where a folder or a file is.
func path(t *testing.T, h *system.Host, place interface {
	On(*system.Host) (string, error)
}) string {
	t.Helper()
	path, err := place.On(h)
	must(t, err)
	return path
}
