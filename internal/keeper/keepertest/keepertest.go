//go:build unix

// Package keepertest shows that a keeper does what package keeper promises, whichever process it is
// in.
package keepertest

import (
	"context"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/claimtest"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
)

// Session is how one client uses a keeper.
type Session = desk.Session

// Keeper is a keeper that is tested.
type Keeper = desk.Keeper

// Run runs all tests, each with a keeper that open opens.
func Run(t *testing.T, open func(t *testing.T) Keeper) {
	tests := map[string]func(*testing.T, *desk.Desk){
		"KilledChildIsSeen":         killedChildIsSeen,
		"ExitCodes":                 exitCodes,
		"GrandchildHoldsOutput":     grandchildHoldsOutput,
		"GroupEndsWithItsLeader":    groupEndsWithItsLeader,
		"SignalReachesChildren":     signalReachesChildren,
		"CloseLeavesNobody":         closeLeavesNobody,
		"TermCanBeTrapped":          termCanBeTrapped,
		"StoppedProcessIsKilled":    stoppedProcessIsKilled,
		"StopIsFinal":               stopIsFinal,
		"StopBySignal":              stopBySignal,
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
	}
	maps.Copy(tests, claimtest.Tests)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			k := open(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			t.Cleanup(cancel)
			d := &desk.Desk{Keeper: k, Ctx: ctx}
			d.Session = d.Join(t, keeper.Claim{Domain: domain, Who: "the test"})
			test(t, d)
		})
	}
}

const domain = desk.Domain // where tests start servers

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
