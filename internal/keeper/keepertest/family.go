//go:build unix

package keepertest

import (
	"bufio"
	"io"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
)

// grandchildren starts ten processes, each in a session of its own and with a child, half of them with
// an empty environment. Each says a word.
const grandchildren = `
for i in 1 2 3 4 5; do
  setsid /bin/sh -c 'sleep 1000 & echo up >&3; exec sleep 1000' &
  setsid env -i /bin/sh -c 'sleep 1000 & echo up >&3; exec sleep 1000' &
done
wait`

// orphans starts ten whose parents have ended.
const orphans = `
for i in 1 2 3 4 5 6 7 8 9 10; do
  (setsid /bin/sh -c 'sleep 1000 & echo up >&3; exec sleep 1000' &)
done
sleep 1000 & wait`

// familyEnds: whatever a server has started ends with it.
func familyEnds(t *testing.T, d *desk.Desk) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says of what server a process is")
	}
	for name, tc := range map[string]struct {
		script string
		end    func(keeper.ID) (keeper.Exit, error)
		signal syscall.Signal
	}{
		"stopped":  {grandchildren, func(id keeper.ID) (keeper.Exit, error) { return d.Stop(d.Ctx, id) }, syscall.SIGTERM},
		"stubborn": {"trap '' TERM; " + grandchildren, func(id keeper.ID) (keeper.Exit, error) { return d.Stop(d.Ctx, id) }, syscall.SIGKILL},
		"left":     {orphans, func(id keeper.ID) (keeper.Exit, error) { return d.Stop(d.Ctx, id) }, syscall.SIGTERM},
		"crashed": {orphans, func(id keeper.ID) (keeper.Exit, error) {
			if err := d.Signal(d.Ctx, id, syscall.SIGKILL); err != nil {
				return keeper.Exit{}, err
			}
			return d.Wait(d.Ctx, id)
		}, syscall.SIGKILL},
	} {
		s, pipes := desk.Role(t, name, "")
		s.Path, s.Args, s.Grace = "/bin/sh", []string{"-c", tc.script}, 100*time.Millisecond
		s.Env = desk.Shell("", "").Env
		p := d.Begin(t, s)
		words := bufio.NewReader(pipes.Words)
		play.Expect(t, words, slices.Repeat([]string{"up"}, 10)...)

		exit, err := tc.end(p.ID)
		if err != nil || exit.Signal != tc.signal.String() {
			t.Errorf("%s: %+v, %v", name, exit, err)
		}
		if err := pipes.Words.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(words); err != nil { // ends when nobody has the other end
			t.Errorf("%s: something lives on: %q, %v", name, rest, err)
		}
	}
}
