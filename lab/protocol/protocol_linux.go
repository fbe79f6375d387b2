// Package protocol is what the processes of a lab are to each other: how they are started, and what they say.
package protocol

import (
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/divisi-go/divisi/lab/disk"
	"github.com/divisi-go/divisi/lab/fabric"
)

// Request is what a client asks a lab: one for each connection. Requests about what happens inside of a host are
// handed on to the first process of that host, with the connection.
type Request struct {
	Op   string `json:"op"`
	Host string `json:"host,omitempty"`

	Command *Command       `json:"command,omitempty"` // run; the descriptors are input, output and errors
	Network string         `json:"network,omitempty"` // dial, listen
	Address string         `json:"address,omitempty"`
	Timeout time.Duration  `json:"timeout,omitempty"`
	Path    string         `json:"path,omitempty"` // disk
	Size    int64          `json:"size,omitempty"`
	Disk    *disk.Change   `json:"disk,omitempty"`   // nil for a disk that has no faults
	Offset  time.Duration  `json:"offset,omitempty"` // clock
	To      string         `json:"to,omitempty"`     // change
	OneWay  bool           `json:"one_way,omitempty"`
	Change  *fabric.Change `json:"change,omitempty"`
}

// The requests. Those about the inside of a host are answered by the host.
const (
	OpRun    = "run"
	OpDial   = "dial"
	OpListen = "listen"

	OpStatus = "status"
	OpChange = "change"
	OpHeal   = "heal" // all links
	OpKill   = "kill"
	OpBoot   = "boot"
	OpDown   = "down"

	OpDisk  = "disk"  // in both: the ground has the disk, and the host mounts it
	OpClock = "clock" // likewise
)

// Command is a program to run inside of a host.
type Command struct {
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
	Try  bool     `json:"try"` // Dir is a wish: / if the host does not have it
}

// Answer is what comes back. An error is a sentence.
type Answer struct {
	Error     string  `json:"error,omitempty"`
	Forbidden bool    `json:"forbidden,omitempty"` // by the system, to whoever makes labs
	Exit      int     `json:"exit,omitempty"`
	Status    *Status `json:"status,omitempty"`
}

// Status is what a lab has.
type Status struct {
	Pid   int          `json:"pid"` // of the process that is the lab, outside of it
	Hosts []HostStatus `json:"hosts"`
	Links []LinkStatus `json:"links"` // each direction is one
}

// HostStatus is one host of a lab.
type HostStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Power   bool   `json:"power"`

	Disks []DiskStatus  `json:"disks,omitempty"`
	Clock time.Duration `json:"clock,omitempty"` // by how much it is wrong
}

// DiskStatus is one disk of a host. One that has no faults has no condition, and nobody counts what it does.
type DiskStatus struct {
	Path      string          `json:"path"`
	Size      int64           `json:"size"`
	Condition *disk.Condition `json:"condition,omitempty"`
	Count     *disk.Count     `json:"count,omitempty"`
}

// LinkStatus is one direction between two hosts.
type LinkStatus struct {
	From string `json:"from"`
	To   string `json:"to"`
	fabric.Quality
	fabric.Count
}

// Plan is what the process of a lab is told first.
type Plan struct {
	Names []string `json:"names"`
	Chain bool     `json:"chain"`
	Share []string `json:"share"`
	Seed  uint64   `json:"seed"`
	Stay  bool     `json:"stay"` // it does not end with who has started it
	Home  string   `json:"home"` // a folder that every host has of its own, beside those of the system
}

// Birth is what the first process of a host is told first. With it come its part of the switch's connection, and the
// mounts, in the order of their paths.
type Birth struct {
	Number int      `json:"number"`
	Names  []string `json:"names"`
	Home   string   `json:"home"`
	Mounts []string `json:"mounts"`

	Clock time.Duration `json:"clock"`
}

// Address returns the address of a host in the network of its lab.
func Address(number int) [4]byte { return [4]byte{10, 77, 0, byte(number + 1)} }

// AddressText is [Address] as people write it.
func AddressText(number int) string {
	a := Address(number)
	return fmt.Sprintf("%d.%d.%d.%d", a[0], a[1], a[2], a[3])
}

// The roles in which a program is started again for a lab.
const (
	Variable   = "DIVISI_LAB"
	RoleGround = "ground"
	RoleHost   = "host"
)

// Again is the command that starts this program again in a role, with descriptors from 3 on.
func Again(role string, files ...*os.File) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"divisi-lab-" + role}
	cmd.Env = append(os.Environ(), Variable+"="+role)
	cmd.ExtraFiles = files
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	return cmd
}
