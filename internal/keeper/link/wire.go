// Package link is the connection of a client to a keeper, and what is said over it.
package link

import (
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
)

// Protocol is the number of the protocol that this package speaks, and Oldest that of the oldest one
// that it understands.
const (
	Protocol = 1
	Oldest   = 1
)

// Upgrade is the name of the frames in HTTP.
const Upgrade = "divisi-keeper"

// FilesHeader has the value [NoFiles] from a client on another host, to which no files can be passed.
const (
	FilesHeader = "Divisi-Files"
	NoFiles     = "none"
)

// Farewell is what the keeper asks its clients when it was shut down: to start no other one.
const Farewell = "farewell"

// Hello is the body of attach.
type Hello struct {
	Protocol int `json:"protocol"`
	keeper.Claim
	Patience time.Duration `json:"patience"` // how long to wait for somebody else's claim to end
}

// Welcome is the answer.
type Welcome struct {
	Protocol int           `json:"protocol"`
	Holder   keeper.Holder `json:"holder"`
	Keeper   Info          `json:"keeper"`
}

// Info is what a keeper says of itself.
type Info struct {
	Pid      int       `json:"pid"`
	Protocol int       `json:"protocol"`
	Program  string    `json:"program"`
	Home     string    `json:"home"` // state folder
	Boot     string    `json:"boot,omitempty"`
	Started  time.Time `json:"started"`
	Clients  int       `json:"clients"`            // that are attached
	Resident int64     `json:"resident,omitempty"` // memory, in bytes

	Supervised bool   `json:"supervised,omitempty"` // something starts it again, such as systemd
	Trouble    string `json:"trouble,omitempty"`    // why its journal is not written, for people
}

// Ask is the body of every other request. A verb uses what it needs.
type Ask struct {
	Domain    string         `json:"domain,omitempty"`
	Key       string         `json:"key,omitempty"` // of a socket, or of a slot
	ID        keeper.ID      `json:"id,omitzero"`
	Signal    int            `json:"signal,omitempty"`
	After     uint64         `json:"after,omitempty"`
	Socket    *keeper.Socket `json:"socket,omitempty"`
	Spec      *keeper.Spec   `json:"spec,omitempty"`
	Variables []string       `json:"variables,omitempty"` // of the files that come with Spec
	Program   string         `json:"program,omitempty"`   // that takes over
	Again     bool           `json:"again,omitempty"`     // it was asked for before, and the keeper ended without an answer
}
