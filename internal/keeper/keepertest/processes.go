//go:build unix

package keepertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

func killedChildIsSeen(t *testing.T, d *desk.Desk) {
	s, pipes := desk.Role(t, "victim", "hang")
	p := d.Begin(t, s)
	play.Expect(t, bufio.NewReader(pipes.Words), "child ready")
	if err := syscall.Kill(p.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	exit := d.Await(t, p.ID)
	if exit.Code != -1 || exit.Signal != "killed" || exit.How != keeper.Waited || exit.Time.Before(p.Started) {
		t.Errorf("exit %+v", exit)
	}
	if got, want := exit.String(), "was ended by the signal killed"; got != want {
		t.Errorf("it %s, want: it %s", got, want)
	}
	if again := d.Await(t, p.ID); !again.Time.Equal(exit.Time) || again.Signal != exit.Signal {
		t.Errorf("asked again: %+v", again)
	}
	if err := d.Signal(d.Ctx, p.ID, syscall.SIGTERM); err == nil {
		t.Error("a dead process took a signal")
	}
}

// exitCodes has many processes start and end at the same time, half of them by signals.
func exitCodes(t *testing.T, d *desk.Desk) {
	const many = 200
	var all sync.WaitGroup
	room := make(chan struct{}, 20)
	for i := range many {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			code, signal, script := i, "", fmt.Sprintf("echo %d; exit %d", i, i)
			if i%2 == 0 {
				code, signal, script = -1, syscall.SIGUSR1.String(), "kill -USR1 $$"
			}
			p, err := d.Start(d.Ctx, desk.Shell("many-"+strconv.Itoa(i), script))
			if err != nil {
				t.Error(err)
				return
			}
			got, err := d.Wait(d.Ctx, p.ID)
			if err != nil || got.Code != code || got.Signal != signal || got.How != keeper.Waited {
				t.Errorf("%d: %+v, %v", i, got, err)
			}
		})
	}
	all.Wait()

	exits, err := d.Exits(d.Ctx, domain, 0)
	if err != nil || len(exits) != many {
		t.Fatalf("%d exits, %v", len(exits), err)
	}
	for _, r := range exits {
		i, _ := strconv.Atoi(strings.TrimPrefix(r.Name, "many-"))
		if i%2 == 0 && r.Exit.Code != -1 || i%2 == 1 && r.Exit.Code != i {
			t.Errorf("recorded %+v", r)
		}
	}
	if left, err := d.List(d.Ctx, "/"); err != nil || len(left) > 0 {
		t.Errorf("still there: %v, %v", left, err)
	}
}

func grandchildHoldsOutput(t *testing.T, d *desk.Desk) {
	s, pipes := desk.Role(t, "parent", "leave")
	if exit := d.Await(t, d.Begin(t, s).ID); exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
	// The end was seen while the grandchild lives.
	words := bufio.NewReader(pipes.Words)
	play.Expect(t, words, "child ready")
	if got := d.Log(t, "parent"); len(got) != 1 || got[0]["msg"] != "last words" ||
		got[0]["level"] != "stdout" || got[0]["node"] != "parent@"+domain {
		t.Errorf("the log is %v", got)
	}
	pipes.Life.Close()
	if rest, err := io.ReadAll(words); err != nil || len(rest) > 0 {
		t.Errorf("the grandchild says %q, %v", rest, err)
	}
}

func groupEndsWithItsLeader(t *testing.T, d *desk.Desk) {
	s, pipes := desk.Role(t, "leader", "family")
	p := d.Begin(t, s)
	words := bufio.NewReader(pipes.Words)
	play.Expect(t, words, "parent ready", "child ready")
	if err := syscall.Kill(p.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.Await(t, p.ID)
	if rest, err := io.ReadAll(words); err != nil || len(rest) > 0 {
		t.Errorf("the children say %q, %v", rest, err)
	}
}

func signalReachesChildren(t *testing.T, d *desk.Desk) {
	s, pipes := desk.Role(t, "parent", "family")
	p := d.Begin(t, s)
	words := bufio.NewReader(pipes.Words)
	play.Expect(t, words, "parent ready", "child ready")
	if err := d.Signal(d.Ctx, p.ID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	play.Expect(t, words, "parent terminated", "child terminated")
	pipes.Life.Close()
	if exit := d.Await(t, p.ID); exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
}

func closeLeavesNobody(t *testing.T, d *desk.Desk) {
	var ends []*bufio.Reader
	for i := range 4 {
		s, pipes := desk.Role(t, "parent"+strconv.Itoa(i), "family")
		s.Policy = &lifecycle.Policy{Restart: lifecycle.Permanent}
		d.Begin(t, s)
		ends = append(ends, bufio.NewReader(pipes.Words))
	}
	for _, words := range ends {
		play.Expect(t, words, "parent ready", "child ready")
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i, words := range ends {
		if rest, err := io.ReadAll(words); err != nil || len(rest) > 0 {
			t.Errorf("family %d says %q, %v", i, rest, err)
		}
	}
	s, _ := desk.Role(t, "late", "hang")
	if _, err := d.Start(d.Ctx, s); err == nil {
		t.Error("a closed keeper starts processes")
	}
}

func termCanBeTrapped(t *testing.T, d *desk.Desk) {
	s, pipes := desk.Role(t, "trap", "")
	s.Path, s.Args = "/bin/sh", []string{"-c", `trap 'exit 9' TERM; echo ready >&3; read x <&4`}
	p := d.Begin(t, s)
	play.Expect(t, bufio.NewReader(pipes.Words), "ready")
	exit, err := d.Stop(d.Ctx, p.ID)
	if err != nil || exit.Code != 9 || exit.String() != "exited with code 9" {
		t.Errorf("exit %+v, %v", exit, err)
	}
}

func stoppedProcessIsKilled(t *testing.T, d *desk.Desk) {
	p := d.Begin(t, desk.Shell("stopped", "while :; do sleep 1; done"))
	err := errors.Join(d.Signal(d.Ctx, p.ID, syscall.SIGSTOP), d.Signal(d.Ctx, p.ID, syscall.SIGKILL))
	if exit := d.Await(t, p.ID); err != nil || exit.Signal != "killed" {
		t.Errorf("%v, %v", exit, err)
	}
}

// stopIsFinal stops a server that ignores SIGTERM, and one whose client does not wait for it.
func stopIsFinal(t *testing.T, d *desk.Desk) {
	stubborn := func() keeper.Proc {
		s, pipes := desk.Role(t, "stubborn", "")
		s.Path, s.Args = "/bin/sh", []string{"-c", `trap '' TERM; echo ready >&3; while :; do sleep 0.1; done`}
		s.Policy, s.Grace = &lifecycle.Policy{Restart: lifecycle.Permanent}, 50*time.Millisecond
		p := d.Begin(t, s)
		play.Expect(t, bufio.NewReader(pipes.Words), "ready")
		return p
	}
	first := stubborn()
	if exit, err := d.Stop(d.Ctx, keeper.ID{Domain: domain, Name: "stubborn"}); err != nil || exit.Signal != "killed" {
		t.Errorf("%+v, %v", exit, err)
	}

	p := stubborn()
	ctx, cancel := desk.Ended(d.Ctx)
	defer cancel()
	if _, err := d.Stop(ctx, p.ID); err == nil {
		t.Error("a stop that nobody waits for has no error")
	}
	if exit := d.Await(t, p.ID); exit.Signal != "killed" {
		t.Errorf("%+v", exit)
	}
	if again := d.Await(t, first.ID); again.Signal != "killed" {
		t.Errorf("the first one: %+v", again)
	}
	if _, err := d.Stop(d.Ctx, keeper.ID{Domain: domain, Name: "nobody"}); !errors.Is(err, keeper.ErrUnknown) {
		t.Errorf("a stop of nobody: %v", err)
	}
}

// stopBySignal stops a server that ends by a signal of its own.
func stopBySignal(t *testing.T, d *desk.Desk) {
	s, pipes := desk.Role(t, "peculiar", "")
	s.Path, s.Stop = "/bin/sh", syscall.SIGUSR1
	s.Args = []string{"-c", `trap '' TERM; trap 'exit 5' USR1; echo ready >&3; while :; do sleep 0.1; done`}
	p := d.Begin(t, s)
	play.Expect(t, bufio.NewReader(pipes.Words), "ready")
	if exit, err := d.Stop(d.Ctx, p.ID); err != nil || exit.Code != 5 {
		t.Errorf("%+v, %v", exit, err)
	}

	s.Stop, s.Files = 65, nil // the first start has had them
	if _, err := d.Start(d.Ctx, s); !errors.Is(err, keeper.ErrInvalid) {
		t.Errorf("a signal that there is not: %v", err)
	}
}

// restarts: a permanent server starts again after every end, a transient one after failures, and a
// temporary one never.
func restarts(t *testing.T, d *desk.Desk) {
	for _, tc := range []struct {
		policy lifecycle.Restart
		code   int
		again  bool
	}{
		{lifecycle.Permanent, 0, true}, {lifecycle.Permanent, 3, true},
		{lifecycle.Transient, 0, false}, {lifecycle.Transient, 3, true},
		{lifecycle.Temporary, 0, false}, {lifecycle.Temporary, 3, false},
	} {
		name := fmt.Sprintf("%s-%d", tc.policy, tc.code)
		s := desk.Shell(name, fmt.Sprintf("exit %d", tc.code))
		s.Policy = desk.Quick(tc.policy)
		p := d.Begin(t, s)
		if exit := d.Await(t, p.ID); exit.Code != tc.code {
			t.Errorf("%s: %+v", name, exit)
		}

		if !tc.again {
			d.Until(t, name, 0, keeper.Stopped)
			continue
		}
		waits := d.Until(t, name, 0, keeper.Waits)
		if next := d.Until(t, name, waits.Number, keeper.Started); next.ID.Run <= p.ID.Run {
			t.Errorf("%s: started again as %+v", name, next)
		}
		// An earlier start names the server as well.
		if _, err := d.Stop(d.Ctx, p.ID); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// fails: what ends too often before it is ready is said to have failed.
func fails(t *testing.T, d *desk.Desk) {
	s := desk.Shell("broken", "exit 1")
	s.Policy, s.Notify = desk.Quick(lifecycle.Transient), true
	p := d.Begin(t, s)
	d.Until(t, "broken", 0, keeper.Failed)
	if _, err := d.Stop(d.Ctx, p.ID); err != nil {
		t.Error(err)
	}
}

func stopDuringBackoff(t *testing.T, d *desk.Desk) {
	s := desk.Shell("slow", "exit 1")
	s.Policy, s.Notify = &lifecycle.Policy{Backoff: time.Hour, MaxBackoff: time.Hour}, true
	p := d.Begin(t, s)
	d.Until(t, "slow", 0, keeper.Waits)
	list, err := d.List(d.Ctx, domain)
	if err != nil || len(list) != 1 || list[0].State != lifecycle.Backoff || list[0].Pid != 0 || list[0].LastExit.Code != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if exit, err := d.Stop(d.Ctx, p.ID); err != nil || exit.Code != 1 {
		t.Errorf("%+v, %v", exit, err)
	}
	if list, err := d.List(d.Ctx, domain); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

func names(t *testing.T, d *desk.Desk) {
	s := desk.Shell("one", "sleep 60")
	s.Digest, s.Labels = "d1", map[string]string{"version": "v1"}
	first := d.Begin(t, s)
	if _, err := d.Start(d.Ctx, s); !errors.Is(err, keeper.ErrRuns) || !strings.Contains(err.Error(), strconv.Itoa(first.Pid)) {
		t.Errorf("a second one of the name: %v", err)
	}
	s.Beside = true
	second := d.Begin(t, s)
	list, err := d.List(d.Ctx, "/")
	if err != nil || len(list) != 2 || list[0].ID != first.ID || list[1].ID != second.ID ||
		list[1].Digest != "d1" || list[1].Labels["version"] != "v1" || list[1].State != lifecycle.Ready {
		t.Errorf("%+v, %v", list, err)
	}
	if other, err := d.List(d.Ctx, "/other"); err != nil || len(other) != 0 {
		t.Errorf("of another domain: %+v, %v", other, err)
	}

	if _, err := d.Stop(d.Ctx, first.ID); err != nil {
		t.Error(err)
	}
	if list, err := d.List(d.Ctx, domain); err != nil || len(list) != 1 || list[0].ID != second.ID {
		t.Errorf("%+v, %v", list, err)
	}
	// A name that is about to end is free for a next one only when it has.
	if _, err := d.Stop(d.Ctx, keeper.ID{Domain: domain, Name: "one"}); err != nil {
		t.Error(err)
	}
	s.Beside = false
	d.Begin(t, s)
}

func oneNameOneLog(t *testing.T, d *desk.Desk) {
	var all []keeper.Proc
	for _, which := range []string{"old", "new"} {
		s := desk.Shell("twice", `i=0; while [ $i -lt 500 ]; do echo "$0 $i"; i=$((i+1)); done`)
		s.Args, s.Beside = append(s.Args, which), true
		all = append(all, d.Begin(t, s))
	}
	for _, p := range all {
		if exit := d.Await(t, p.ID); exit.Code != 0 {
			t.Errorf("exit %+v", exit)
		}
	}

	next := map[string]int{}
	for _, l := range d.Log(t, "twice") {
		which, number, _ := strings.Cut(l["msg"].(string), " ")
		if number != strconv.Itoa(next[which]) {
			t.Fatalf("%s comes after %d lines of %s", l["msg"], next[which], which)
		}
		next[which]++
	}
	if next["old"] != 500 || next["new"] != 500 {
		t.Errorf("lines: %v", next)
	}
}

// printsMuch: a process prints as much as it likes, and its log is complete when it has ended.
func printsMuch(t *testing.T, d *desk.Desk) {
	s, _ := desk.Role(t, "printer", "print 3000")
	if exit := d.Await(t, d.Begin(t, s).ID); exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
	if log := d.Log(t, "printer"); len(log) != 3000 || log[2999]["msg"] != "line 2999" {
		t.Errorf("%d lines", len(log))
	}
}

// otherUser runs a process as another user, which only root may.
func otherUser(t *testing.T, d *desk.Desk) {
	s := desk.Shell("who", `[ "$(id -u)" != 0 ]`)
	s.User = "nobody"
	if os.Getuid() != 0 {
		if _, err := d.Start(d.Ctx, s); err == nil {
			t.Error("somebody who is not root starts a process of another user")
		}
		return
	}
	if exit := d.Await(t, d.Begin(t, s).ID); exit.Code != 0 {
		t.Errorf("exit %+v", exit)
	}
	s.User = "there-is-no-such-user"
	if _, err := d.Start(d.Ctx, s); err == nil || !strings.Contains(err.Error(), s.User) {
		t.Errorf("an unknown user: %v", err)
	}
}

func events(t *testing.T, d *desk.Desk) {
	p := d.Begin(t, desk.Shell("short", "exit 4"))
	d.Await(t, p.ID)
	stopped := d.Until(t, "short", 0, keeper.Stopped)
	list, err := d.Next(d.Ctx, domain, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []keeper.Kind
	for i, e := range list {
		kinds = append(kinds, e.Kind)
		if i > 0 && e.Number != list[i-1].Number+1 || e.Time.IsZero() || e.Name != "short" {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	want := fmt.Sprint([]keeper.Kind{keeper.Started, keeper.Ready, keeper.Exited, keeper.Stopped})
	if fmt.Sprint(kinds) != want {
		t.Errorf("%v, want %v", kinds, want)
	}

	ctx, cancel := desk.Ended(d.Ctx)
	defer cancel()
	if list, err := d.Next(ctx, domain, stopped.Number); err == nil {
		t.Errorf("events that have not happened: %v", list)
	}
	if list, err := d.Next(d.Ctx, domain, stopped.Number+100); err != nil || len(list) != len(kinds) {
		t.Errorf("behind a number of another keeper: %v, %v", list, err)
	}
}

func forgottenEvents(t *testing.T, d *desk.Desk) {
	s := desk.Shell("restless", "exit 0")
	s.Policy = desk.Quick(lifecycle.Permanent)
	d.Begin(t, s)
	first := d.Until(t, "restless", 0, keeper.Started).Number
	for last := first; last < first+1100; {
		list, err := d.Next(d.Ctx, domain, last)
		if err != nil {
			t.Fatal(err)
		}
		last = list[len(list)-1].Number
	}
	list, err := d.Next(d.Ctx, domain, first)
	if err != nil || list[0].Kind != keeper.Missed || !strings.Contains(list[0].Text, "forgotten") {
		t.Errorf("%+v, %v", list[0], err)
	}
}

func exitsAreNumbered(t *testing.T, d *desk.Desk) {
	for i := range 3 {
		d.Run(t, "a", fmt.Sprintf("exit %d", i))
	}
	all, err := d.Exits(d.Ctx, domain, 0)
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	rest, err := d.Exits(d.Ctx, domain, all[0].Number)
	if err != nil || len(rest) != 2 || rest[0].Exit.Code != 1 || rest[1].Exit.Code != 2 || rest[1].Pid == 0 {
		t.Errorf("%+v, %v", rest, err)
	}
	if none, err := d.Exits(d.Ctx, "/elsewhere", 0); err != nil || len(none) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	if exit := d.Await(t, keeper.ID{Domain: domain, Name: "a"}); exit.Code != 2 {
		t.Errorf("the last end: %+v", exit)
	}
	if _, err := d.Wait(d.Ctx, keeper.ID{Domain: domain, Name: "b"}); !errors.Is(err, keeper.ErrUnknown) {
		t.Errorf("of nobody: %v", err)
	}
}
