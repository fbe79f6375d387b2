package control

import (
	"net"
	"time"

	"github.com/divisi-go/divisi/internal/tree"
)

// AppStatus is an application in the list of those behind a door.
type AppStatus struct {
	App     string    `json:"app"`
	Domain  string    `json:"domain"` // such as "/shop"
	Version string    `json:"version"`
	State   string    `json:"state"` // starting, running, degraded, stopping, stopped
	Started time.Time `json:"started"`

	Questions int `json:"questions,omitempty"` // that wait for an answer
}

// Status is what is known about an application, by its deployer if there is one. Lists are empty rather than
// nil.
type Status struct {
	App        string           `json:"app"`
	Domain     string           `json:"domain"` // such as "/shop"
	Version    string           `json:"version"`
	State      string           `json:"state"`                // starting, running, degraded, stopping, stopped, or [NotRunning]
	Unattended bool             `json:"unattended,omitempty"` // nobody decides about it: it has no deployer
	Again      string           `json:"again,omitempty"`      // of an unattended program, and of what is a part of it: the command that runs it again
	Binary     string           `json:"binary"`
	Started    time.Time        `json:"started"`
	Controller Controller       `json:"controller"`
	Listeners  []ListenerStatus `json:"listeners"`
	Groups     []GroupStatus    `json:"groups"`
	Replicas   []ReplicaStatus  `json:"replicas"`
	Edges      []Edge           `json:"edges"`
	Members    []Member         `json:"members,omitempty"` // of a program of package system
	Unseen     []string         `json:"unseen,omitempty"`  // hosts with servers of a program that nobody sees while it does not run
}

// Local is the name of the host that a program runs on.
const Local = "local"

// Elsewhere reports whether a server is on another host than its program.
func (r ReplicaStatus) Elsewhere() bool { return r.Host != "" && r.Host != Local }

// IsProgram reports whether it is a program of package system, and no application of components.
func (s Status) IsProgram() bool { return len(s.Members) > 0 }

// NotRunning is the state of a program that does not run while its servers do.
const NotRunning = "not running"

// Member is something in a program: a server, a task or a scope, or all of it. Those in a scope follow it.
type Member struct {
	Path     string     `json:"path"` // such as "/orderd/eu/positiond"
	Kind     string     `json:"kind"` // server, task, scope or program
	State    string     `json:"state"`
	Since    time.Time  `json:"since"`
	Restarts int        `json:"restarts"`
	Host     string     `json:"host,omitempty"`       // that it runs on, if it is a server
	HostIs   string     `json:"host_state,omitempty"` // away: its keeper is; cut: it cannot be reached; lost: it was given up
	Next     *time.Time `json:"next_start,omitempty"`
	Failure  string     `json:"failure,omitempty"` // the last one
	Site     string     `json:"site,omitempty"`    // of the call that has asked for it
}

// Is returns the state for people, such as "ready, its keeper is away".
func (m Member) Is() string {
	switch tree.Kind(m.HostIs) {
	case "":
		return m.State
	case tree.Away:
		return m.State + ", its keeper is away"
	}
	return m.State + ", its host is " + m.HostIs
}

// Controller is the process that decides about an application. Of one that is unattended only the folder of
// logs is known.
type Controller struct {
	Pid    int    `json:"pid"`
	Socket string `json:"socket"`     // of the control API
	Page   string `json:"live_page"`  // address of the live page, "" if there is none
	LogDir string `json:"log_folder"` // where the logs of the application's processes are
}

// ListenerStatus is one public listener.
type ListenerStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"` // host:port
	URL     string `json:"url"`
}

// PageURL returns the address of a listener as a browser on this machine takes it.
func PageURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// GroupStatus is one colocation group.
type GroupStatus struct {
	Name       string   `json:"name"`
	Components []string `json:"components"`
	Wanted     int      `json:"wanted"` // replicas
	Ready      int      `json:"ready"`
}

// ReplicaStatus is one replica, whether its process runs or not.
type ReplicaStatus struct {
	Name       string      `json:"name"` // such as "cart-0@/shop"
	Pid        int         `json:"pid"`  // 0 when no process runs
	State      string      `json:"state"`
	Failing    string      `json:"failing,omitempty"` // what its last probes have shown, while they fail
	Group      string      `json:"group"`
	Replica    int         `json:"replica"`
	Restarts   int         `json:"restarts"`
	Started    time.Time   `json:"started"` // of the process
	Version    string      `json:"version"`
	App        string      `json:"app"`
	Unattended bool        `json:"unattended,omitempty"` // as its application is
	Host       string      `json:"host,omitempty"`       // that it runs on, of a program of package system that runs; [Local] is the program's own
	Address    string      `json:"address,omitempty"`
	Components []string    `json:"components"`
	NextStart  *time.Time  `json:"next_start,omitempty"` // while in backoff or failed
	LastExit   *ExitStatus `json:"last_exit,omitempty"`
}

// ExitStatus is how a process ended.
type ExitStatus struct {
	Code   int       `json:"code"`             // -1 when a signal ended it
	Signal string    `json:"signal,omitempty"` // such as "killed"
	Time   time.Time `json:"time"`
	Text   string    `json:"text"`
}

// Edge is one reference of the call graph, by the short names of components.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
}
