//go:build unix

// Package keepertest shows that a keeper does what package keeper promises, whichever process it is
// in.
package keepertest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/play"
)

// Session is how one client uses a keeper.
type Session interface {
	Holder() keeper.Holder
	Release() error
	Fenced(context.Context) error

	Listen(context.Context, keeper.Socket) (keeper.Socket, error)
	Unlisten(ctx context.Context, domain, key string) error
	Take(ctx context.Context, domain, key string) (*os.File, error)
	Sockets(ctx context.Context, domain string) ([]keeper.Socket, error)
	Start(context.Context, keeper.Spec) (keeper.Proc, error)
	Signal(context.Context, keeper.ID, syscall.Signal) error
	Stop(context.Context, keeper.ID) (keeper.Exit, error)
	Wait(context.Context, keeper.ID) (keeper.Exit, error)
	List(ctx context.Context, domain string) ([]keeper.Proc, error)
	Spec(context.Context, keeper.ID) (keeper.Spec, error)
	Exits(ctx context.Context, domain string, after uint64) ([]keeper.ExitRecord, error)
	Next(ctx context.Context, domain string, after uint64) ([]keeper.Event, error)
	Put(ctx context.Context, domain, slot string, f *os.File) error
	Get(ctx context.Context, domain, slot string) (*os.File, error)
}

var _ Session = (*hold.Session)(nil)

// Keeper is a keeper that is tested.
type Keeper struct {
	Attach func(context.Context, keeper.Claim) (Session, error)
	Logs   string       // folder of all logs
	Close  func() error // kills what it holds; also called at the end of the test
}

// Run runs all tests, each with a keeper that open opens.
func Run(t *testing.T, open func(t *testing.T) Keeper) {
	for name, test := range map[string]func(*testing.T, *desk){
		"KilledChildIsSeen":         killedChildIsSeen,
		"ExitCodes":                 exitCodes,
		"GrandchildHoldsOutput":     grandchildHoldsOutput,
		"GroupEndsWithItsLeader":    groupEndsWithItsLeader,
		"SignalReachesChildren":     signalReachesChildren,
		"CloseLeavesNobody":         closeLeavesNobody,
		"TermCanBeTrapped":          termCanBeTrapped,
		"StoppedProcessIsKilled":    stoppedProcessIsKilled,
		"StopIsFinal":               stopIsFinal,
		"Restarts":                  restarts,
		"Fails":                     fails,
		"StopDuringBackoff":         stopDuringBackoff,
		"Names":                     names,
		"Events":                    events,
		"ForgottenEvents":           forgottenEvents,
		"ExitsAreNumbered":          exitsAreNumbered,
		"OneNameOneLog":             oneNameOneLog,
		"SocketOutlivesChildren":    socketOutlivesChildren,
		"SocketOfAnotherAddress":    socketOfAnotherAddress,
		"TakenSocket":               takenSocket,
		"AddressInUse":              addressInUse,
		"SocketStaysNonBlocking":    socketStaysNonBlocking,
		"Slots":                     slots,
		"Inheritance":               inheritance,
		"StrayDescriptors":          strayDescriptors,
		"CallersSliceIsNotWritten":  callersSliceIsNotWritten,
		"Refusals":                  refusals,
		"Claims":                    claims,
		"ClaimsAboveAndBelow":       claimsAboveAndBelow,
		"FencedSession":             fencedSession,
		"RaceForADomain":            raceForADomain,
		"BoundClaim":                boundClaim,
		"FencedAtOnce":              fencedAtOnce,
		"BoundIsNotTaken":           boundIsNotTaken,
		"ClientRestarts":            clientRestarts,
		"KeeperRestarts":            keeperRestarts,
		"NeverTwice":                neverTwice,
		"LooksWithoutClaim":         looksWithoutClaim,
		"NobodyNeedsToBeThere":      nobodyNeedsToBeThere,
		"HeritageEnds":              heritageEnds,
		"Specification":             specification,
		"FamilyEnds":                familyEnds,
		"Secrets":                   secrets,
		"ReadyWhenItSays":           readyWhenItSays,
		"ChildrenSay":               childrenSay,
		"StrangersSayNothing":       strangersSayNothing,
		"SignsOfLife":               signsOfLife,
		"SaysThatItIsStuck":         saysThatItIsStuck,
		"Probes":                    probes,
		"KeptFiles":                 keptFiles,
		"User":                      otherUser,
		"PrintsWithoutAReaderBound": printsMuch,
	} {
		t.Run(name, func(t *testing.T) {
			k := open(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			t.Cleanup(cancel)
			d := &desk{Keeper: k, ctx: ctx}
			d.Session = d.attach(t, keeper.Claim{Domain: domain, Who: "the test"})
			test(t, d)
		})
	}
}

// domain is where tests start servers.
const domain = "/test"

// desk is a keeper with a session that has the domain.
type desk struct {
	Keeper
	Session
	ctx context.Context // ends some time after the test should have
}

func (d *desk) attach(t *testing.T, c keeper.Claim) Session {
	t.Helper()
	s, err := d.Attach(d.ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Release() })
	return s
}

func (d *desk) start(t *testing.T, s keeper.Spec) keeper.Proc {
	t.Helper()
	p, err := d.Start(d.ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (d *desk) wait(t *testing.T, id keeper.ID) keeper.Exit {
	t.Helper()
	exit, err := d.Wait(d.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// run starts a shell, and returns how it has ended.
func (d *desk) run(t *testing.T, name, script string) keeper.Exit {
	t.Helper()
	return d.wait(t, d.start(t, shell(name, script)).ID)
}

// until follows the events of a server until there is one of a kind, and returns it.
func (d *desk) until(t *testing.T, name string, after uint64, kind keeper.Kind) keeper.Event {
	t.Helper()
	for {
		list, err := d.Next(d.ctx, domain, after)
		if err != nil {
			t.Fatalf("no event %s: %v", kind, err)
		}
		for _, e := range list {
			after = e.Number
			if e.Name == name && e.Kind == kind {
				return e
			}
		}
	}
}

// log returns the log of a server, the oldest file first.
func (d *desk) log(t *testing.T, name string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for _, suffix := range []string{".log.2", ".log.1", ".log"} {
		data, err := os.ReadFile(filepath.Join(d.Logs, domain, name+suffix))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var e map[string]any
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("log line %q: %v", line, err)
			}
			list = append(list, e)
		}
	}
	return list
}

func shell(name, script string) keeper.Spec {
	return keeper.Spec{
		Domain: domain, Name: name, Path: "/bin/sh", Args: []string{"-c", script},
		Env: []string{"PATH=" + os.Getenv("PATH")},
	}
}

// role returns a server of the domain that plays a role.
func role(t *testing.T, name, role string) (keeper.Spec, play.Pipes) {
	t.Helper()
	s, pipes := play.Role(t, role)
	s.Domain, s.Name = domain, name
	return s, pipes
}

// SocketDir returns a folder whose path is short enough for sockets.
func SocketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keeper")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
