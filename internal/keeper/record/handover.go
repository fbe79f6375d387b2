package record

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/claim"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// HandoverFormat is that of a [Handover], of all that is in it, and of what goes with it.
const HandoverFormat = 1

// Handover is what a keeper hands over to the program that follows it in the same process: all that it
// holds. Descriptors keep their numbers; one that is not there is -1.
type Handover struct {
	Journal []json.RawMessage `json:"journal"` // the state, as the journal has it
	Claims  []claim.Claim     `json:"claims"`  // of the sessions that go on
	Servers []HandedServer    `json:"servers"`
	Sockets []HandedFile      `json:"sockets"`
	Slots   []HandedFile      `json:"slots"`
	Events  []keeper.Event    `json:"events"`
	Event   uint64            `json:"event"` // the number of the last one
	Ear     int               `json:"ear"`   // where servers say how they are
	EarPath string            `json:"ear_path,omitempty"`
}

// HandedServer is what the journal does not have of a server.
type HandedServer struct {
	Born     uint64            `json:"born"`
	Run      uint64            `json:"run,omitempty"` // the number of its last start
	Spec     keeper.Spec       `json:"spec"`
	Life     lifecycle.Process `json:"life"`
	Started  time.Time         `json:"started"`
	Status   string            `json:"status,omitempty"`
	Hung     string            `json:"hung,omitempty"`
	Watchdog time.Duration     `json:"watchdog,omitempty"`
	Shelf    []HandedFile      `json:"shelf,omitempty"`
	LastExit *keeper.Exit      `json:"last_exit,omitempty"`
	Process  *HandedProcess    `json:"process,omitempty"`
}

// HandedProcess is the process of a server.
type HandedProcess struct {
	ID      keeper.ID `json:"id"`
	Pid     int       `json:"pid"`
	Ticks   uint64    `json:"ticks"`
	Started time.Time `json:"started"`
	Foreign int       `json:"foreign"` // by which it is known, if it is no child of this process
	Out     [2]int    `json:"out"`     // what it prints
	Begun   [2][]byte `json:"begun"`   // what was read of its next lines
}

// HandedFile is a descriptor that is kept for a domain.
type HandedFile struct {
	Domain string `json:"domain,omitempty"`
	Key    string `json:"key"`
	FD     int    `json:"fd"`
}

// Descriptors returns those that the next program needs.
func (h *Handover) Descriptors() []int {
	all := []int{h.Ear}
	for _, f := range slices.Concat(h.Sockets, h.Slots) {
		all = append(all, f.FD)
	}
	for _, s := range h.Servers {
		for _, f := range s.Shelf {
			all = append(all, f.FD)
		}
		if s.Process != nil {
			all = append(all, s.Process.Foreign, s.Process.Out[0], s.Process.Out[1])
		}
	}
	return slices.DeleteFunc(all, func(fd int) bool { return fd < 0 })
}
