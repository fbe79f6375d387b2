//go:build linux

package door

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/record"
	"github.com/divisi-go/divisi/internal/keeper/successor"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/memfd"
	"github.com/divisi-go/divisi/internal/proc"
)

var (
	upgrades = flag.Int("upgrades", 5, "how often TestUpgrades replaces the keeper")
	children = flag.Int("children", 100, "how many processes end meanwhile")
)

// TestUpgrades: while programs take over the keeper one after the other, processes start, end, stop and
// print, and nothing of it is lost.
func TestUpgrades(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	pid := infoOf(t, c).Pid
	talker := run(t, c, shell("talker", `i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); [ $((i%100)) != 0 ] || sleep 0.02; done`))

	var work sync.WaitGroup
	var upgraded int
	work.Go(func() {
		for range *upgrades {
			if _, err := c.Upgrade(t.Context(), executable(t)); err != nil {
				t.Error(err)
				return
			}
			upgraded++
		}
	})
	var left sync.WaitGroup
	slots := make(chan struct{}, 20)
	for i := range *children {
		slots <- struct{}{}
		left.Go(func() {
			defer func() { <-slots }()
			code := rand.N(200)
			s := shell(fmt.Sprintf("child-%d", i), fmt.Sprintf("sleep %.3f; exit %d", rand.Float64()/5, code))
			s.Beside = true
			p, err := c.Start(t.Context(), s)
			if err != nil {
				t.Error(err)
				return
			}
			exit, err := c.Wait(t.Context(), p.ID)
			if err != nil || exit.Code != code || exit.How != keeper.Waited {
				t.Errorf("%v: %+v, %v; want code %d", p.ID, exit, err, code)
			}
		})
	}
	left.Wait()
	work.Wait()
	if now := infoOf(t, c).Pid; upgraded != *upgrades || now != pid {
		t.Errorf("%d upgrades; process %d became %d", upgraded, pid, now)
	}

	wait(t, c, talker.ID)
	log := readLog(t, h.Logs(), "talker")
	for i := range 2000 {
		if want := fmt.Sprintf(`"msg":"line %d"`, i); strings.Count(log, want) != 1 {
			t.Errorf("the log has %d times %s", strings.Count(log, want), want)
		}
	}
}

func readLog(t *testing.T, logs, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(logs, "shop", name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func executable(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// TestUpgradeKeepsAll that a keeper holds, as it is.
func TestUpgradeKeepsAll(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	ctx := t.Context()
	socket, err := c.Listen(ctx, keeper.Socket{Domain: "/shop", Key: "web", Network: "unix", Address: filepath.Join(h.Runtime, "web")})
	if err != nil {
		t.Fatal(err)
	}
	slot, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slot.WriteString("secret"); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(ctx, "/shop", "slot", slot); err != nil {
		t.Fatal(err)
	}
	exit := wait(t, c, run(t, c, shell("ended", "exit 4")).ID)

	s := shell("looping", "exit 5")
	s.Policy = &lifecycle.Policy{Restart: lifecycle.Permanent, Backoff: 1e12, MaxBackoff: 1e12}
	run(t, c, s)
	s = shell("stubborn", "trap '' TERM; echo ready >&$READY; while :; do sleep 0.01; done")
	words, their, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer words.Close()
	s.Grace, s.Files = 1e12, []keeper.File{{Var: "READY", File: their}}
	stubborn := run(t, c, s)
	if line, err := bufio.NewReader(words).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	stopped := make(chan error, 1)
	var stops sync.WaitGroup
	defer stops.Wait()
	stops.Go(func() {
		exit, err := c.Stop(ctx, stubborn.ID)
		if err == nil && exit.Signal != "killed" {
			err = fmt.Errorf("it %v", exit)
		}
		stopped <- err
	})
	state(t, c, "looping", lifecycle.Backoff)
	state(t, c, "stubborn", lifecycle.Stopping)

	before, events := list(t, c), told(t, c)
	if _, err := c.Upgrade(ctx, executable(t)); err != nil {
		t.Fatal(err)
	}
	if after := list(t, c); after != before {
		t.Errorf("it holds\n%s\nand held\n%s", after, before)
	}
	if after := told(t, c); after != events {
		t.Errorf("it tells\n%s\nand told\n%s", after, events)
	}
	if again, err := c.Sockets(ctx, "/shop"); err != nil || len(again) != 1 || again[0] != socket {
		t.Errorf("the sockets are %+v, %v; want %+v", again, err, socket)
	}
	got, err := c.Get(ctx, "/shop", "slot")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	text := make([]byte, 6)
	if _, err := got.ReadAt(text, 0); err != nil || string(text) != "secret" {
		t.Errorf("the slot has %q, %v", text, err)
	}
	exits, err := c.Exits(ctx, "/shop", 0)
	if err != nil || len(exits) != 2 || !exits[0].Exit.Time.Equal(exit.Time) {
		t.Errorf("the exits are %+v, %v", exits, err)
	}
	if err := c.Signal(ctx, stubborn.ID, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("a stop over an upgrade: %v", err)
	}
	if _, err := c.Stop(ctx, keeper.ID{Domain: "/shop", Name: "looping"}); err != nil {
		t.Error(err)
	}
	strays(t, infoOf(t, c).Pid)
}

// strays fails the test if the servers of a keeper could inherit something of it.
func strays(t *testing.T, pid int) {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fdinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, e.Name()))
		_, flags, _ := strings.Cut(string(text), "flags:\t")
		flags, _, _ = strings.Cut(flags, "\n")
		if standard := len(e.Name()) == 1 && e.Name() < "3"; err == nil && !standard && !strings.HasPrefix(flags, "02") {
			t.Errorf("the descriptor %s has the flags %s", e.Name(), flags)
		}
	}
}

// state returns when a server is in a state.
func state(t *testing.T, c *Client, name string, want lifecycle.State) {
	t.Helper()
	for t.Context().Err() == nil {
		servers, err := c.List(t.Context(), "/shop")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range servers {
			if p.Name == name && p.State == want {
				return
			}
		}
	}
}

func list(t *testing.T, c *Client) string {
	t.Helper()
	servers, err := c.List(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	return plain(servers)
}

func told(t *testing.T, c *Client) string {
	t.Helper()
	events, err := c.Next(t.Context(), "/", 0)
	if err != nil {
		t.Fatal(err)
	}
	return plain(events)
}

// plain returns a value as the protocol has it.
func plain(v any) string {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestUpgradeToStrangePrograms leaves the keeper as it is, and says why.
func TestUpgradeToStrangePrograms(t *testing.T) {
	h := newHome(t)
	able := successor.Answer(record.HandoverFormat)
	c := attach(t, h, shop("one"))
	before := infoOf(t, c)
	p := run(t, c, shell("steady", "exec sleep 60"))

	for program, want := range map[string]string{
		"divisi":                      "the path is not absolute",
		"/nowhere":                    "no such file or directory",
		"/bin/false":                  "exit status 1",
		"/bin/true":                   "does not call door.Enter first",
		program(t, "exit 3"):          "exit status 3",
		program(t, "kill -9 $$"):      "killed",
		program(t, "echo "+able+"00"): "reads format 100 of what is handed over, and this keeper writes 1",
		program(t, "cat /dev/zero"):   "it says",
		// What follows says that it can, and cannot.
		program(t, "chmod 0 $0; echo "+able): "permission denied",
		program(t, "[ $DIVISI_KEEPER_HANDED ] || exec echo "+able+"\n"+
			"DIVISI_KEEPER_FAILED='not today' exec /proc/self/fd/$DIVISI_KEEPER_FORMER"): "goes on as it was: not today",
	} {
		if _, err := c.Upgrade(t.Context(), program); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("upgrade to %s: %v; want %s", program, err, want)
		}
	}

	info, err := c.Upgrade(t.Context(), executable(t))
	if err != nil || info.Pid != before.Pid || info.Program != before.Program {
		t.Errorf("%+v became %+v, %v", before, info, err)
	}
	if exit, err := c.Stop(t.Context(), p.ID); err != nil || exit.Signal != "terminated" || exit.How != keeper.Waited {
		t.Errorf("%+v, %v", exit, err)
	}
}

// TestUpgradeToADeadEnd says that the keeper has ended. Nothing that it held has.
func TestUpgradeToADeadEnd(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	p := run(t, c, shell("steady", "exec sleep 60"))
	dies := program(t, "[ $DIVISI_KEEPER_HANDED ] || exec echo "+successor.Answer(record.HandoverFormat)+"\nexit 3")
	if _, err := c.Upgrade(t.Context(), dies); err == nil || !strings.Contains(err.Error(), "the keeper ended while "+dies) {
		t.Errorf("upgrade to a program that dies: %v", err)
	}
	if exit, err := c.Stop(t.Context(), p.ID); err != nil || exit.Signal != "terminated" {
		t.Errorf("%+v, %v", exit, err)
	}
}

// TestGoBack: a program that does not understand what was handed over has the former one go on.
func TestGoBack(t *testing.T) {
	file, err := memfd.New("handed", []byte(`{"journal":[{"event":"keeper","format":99}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	former, err := os.Open("/usr/bin/env")
	if err != nil {
		t.Fatal(err)
	}
	defer former.Close()

	cmd := exec.Command(executable(t))
	cmd.ExtraFiles = []*os.File{file, former}
	cmd.Env = []string{Variable + "=" + t.TempDir(), "DIVISI_KEEPER_HANDED=3", "DIVISI_KEEPER_FORMER=4"}
	out, err := cmd.CombinedOutput()
	for _, want := range append(cmd.Env, "DIVISI_KEEPER_FAILED=what was handed over is not understood: line 1: format 99") {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("the former program has %s, %v; want %s", out, err, want)
		}
	}
}

// program returns a shell script.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUpgradeWhileClientsGo: what is bound to the claim of a client that goes while another program takes
// over ends then.
func TestUpgradeWhileClientsGo(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	for range *upgrades {
		mortal := attach(t, h, keeper.Claim{Domain: "/mortal", Who: "one who goes", Ends: true})
		s := shell("bound", "exec sleep 60")
		s.Domain = "/mortal"
		p := run(t, mortal, s)

		var both sync.WaitGroup
		both.Go(func() {
			if _, err := c.Upgrade(t.Context(), executable(t)); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			for range rand.N(3000) { // some moment
				_, _ = proc.ReadStat(os.Getpid())
			}
			mortal.stop() // as the end of its process does
			<-mortal.done
		})
		both.Wait()
		if exit := wait(t, c, p.ID); exit.Signal != "killed" || exit.How != keeper.Waited {
			t.Errorf("%+v", exit)
		}
	}
}

// TestUpgradeKeepsClaims: nobody else gets the domain of a client meanwhile.
func TestUpgradeKeepsClaims(t *testing.T) {
	h := newHome(t)
	c := attach(t, h, shop("one"))
	before := c.Holder()
	ctx, cancel := context.WithCancel(t.Context())
	var waits sync.WaitGroup
	waits.Go(func() {
		if other, err := Attach(ctx, h, shop("another")); err == nil {
			other.Release()
			t.Error("it is claimed twice")
		}
	})
	for range *upgrades {
		if _, err := c.Upgrade(t.Context(), executable(t)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	waits.Wait()
	if after := c.Holder(); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	wait(t, c, run(t, c, shell("a", "exit 0")).ID)
}
