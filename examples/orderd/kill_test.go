package main

import (
	"bufio"
	"database/sql"
	"flag"
	"fmt"
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
	orders = flag.Int("orders", 2000, "that clients send in each test")
	kills  = flag.Int("kills", 3, "in each test, while they do")
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
	positions, err := positiond.Start(ctx, n, h, systemtest.Dir(t, h, "positiond"))
	must(t, err)
	db, err := orderd.MakeDatabase(ctx, n, h, systemtest.Dir(t, h, "db"))
	must(t, err)
	l, err := h.Listen(ctx, n, "orders", "127.0.0.1:0")
	must(t, err)
	o, err := orderd.Start(ctx, n, h, positions, l, db)
	must(t, err)

	victim := choose(o, positions)
	accepted := trade(t, o.Addr, func() {
		if err := syscall.Kill(victim.Pid(), syscall.SIGKILL); err != nil {
			t.Errorf("cannot kill %s: %v", victim.ID(), err)
		}
	})
	check(t, path(t, h, positions.Dir), path(t, h, db.File), accepted)
}

// TestProgramKilled kills the program that has started all of it, and runs it again.
func TestProgramKilled(t *testing.T) {
	home, err := os.MkdirTemp("", "orderd") // paths of sockets are short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	t.Setenv("DIVISI_HOME", filepath.Join(home, "state"))
	t.Setenv("XDG_RUNTIME_DIR", home)

	program, addr := deployed(t, home, "127.0.0.1:0")
	accepted := trade(t, addr, func() {
		must(t, program.Process.Kill())
		_ = program.Wait() // it was killed
		program, _ = deployed(t, home, "127.0.0.1:0")
	})
	check(t, filepath.Join(home, "positiond"), filepath.Join(home, "orders", "orders.db"), accepted)

	must(t, program.Process.Signal(os.Interrupt)) // stops all of it
	if err := program.Wait(); err != nil {
		t.Error(err)
	}
}

// deployed runs the program, and returns where orders are taken once they are.
func deployed(t *testing.T, data, listen string) (*exec.Cmd, string) {
	cmd := exec.Command(os.Args[0], "-listen", listen, "-data", data)
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { // it has ended, unless the test has failed
		_ = cmd.Process.Signal(os.Interrupt)
		late := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	return cmd, strings.TrimSpace(strings.TrimPrefix(line, "Orders are taken at "))
}

// trade has clients send orders, and kills something now and then. It returns the ids of orders that were
// accepted.
func trade(t *testing.T, addr string, kill func()) []string {
	const clients = 8
	var mu sync.Mutex // guards accepted and answered
	var accepted []string
	answered, due := 0, make(chan bool, *kills)
	answer := func(id, text string) {
		mu.Lock()
		defer mu.Unlock()
		if text == id+" accepted" {
			accepted = append(accepted, id)
		} else if !strings.HasPrefix(text, id+" rejected: the position would be ") {
			t.Errorf("the order %s is answered by %q", id, text)
		}
		answered++
		if every := *orders / (*kills + 1); answered%every == 0 && answered/every <= *kills {
			due <- true
		}
	}

	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			s := sender{addr: addr}
			for i := range *orders / clients {
				id := fmt.Sprintf("%d-%d", c, i)
				quantity := (1 + rand.N(400)) * (1 - 2*rand.N(2))
				answer(id, s.send(fmt.Sprintf("%s %d %d", id, rand.N(20), quantity)))
			}
		})
	}
	for range *kills {
		<-due
		kill()
	}
	all.Wait()
	return accepted
}

// sender is a client with a connection.
type sender struct {
	addr    string
	conn    net.Conn // nil before the first one, and after it was lost
	answers *bufio.Scanner
}

// send sends an order until there is an answer, "" if there is none for a minute.
func (s *sender) send(order string) string {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if s.conn == nil {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				continue
			}
			s.conn, s.answers = conn, bufio.NewScanner(conn)
		}
		s.conn.SetDeadline(end)
		fmt.Fprintln(s.conn, order)
		if s.answers.Scan() {
			return s.answers.Text()
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
