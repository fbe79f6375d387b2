// Package keeper says what a keeper does for its clients. A keeper holds what must outlive decisions:
// processes, the listening sockets they share, their logs, and the records of how they ended. It knows
// nothing of what they are for. Package hold is the keeper in the process that opens it, and package
// door the same as a process of its own.
package keeper

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/keeper/limit"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/probe"
)

// ID is one start of a server: a name in a domain, and the number of the start, which no other start
// in the same state folder ever has. Where a server is meant, whatever its start, Run is 0.
type ID struct {
	Domain string `json:"domain"` // such as "/shop"
	Name   string `json:"name"`   // such as "cart-0"
	Run    uint64 `json:"run,omitempty"`
}

// String returns "cart-0@/shop".
func (id ID) String() string { return id.Name + "@" + id.Domain }

// Compare orders servers by domain and name.
func (id ID) Compare(other ID) int {
	return strings.Compare(id.Domain+"\x00"+id.Name, other.Domain+"\x00"+other.Name)
}

// Spec is a server to start.
type Spec struct {
	Domain string `json:"domain"`
	Name   string `json:"name"`             // also that of its log, which all starts of the name share
	Beside bool   `json:"beside,omitempty"` // start it although one of this name runs
	LogKey string `json:"log_key,omitempty"`

	Path string   `json:"path"`           // of the program, absolute
	Arg0 string   `json:"arg0,omitempty"` // what the process calls itself, as the system shows it; default Path
	Args []string `json:"args,omitempty"`
	Env  []string `json:"env,omitempty"` // all of it, but for what tells of inherited descriptors
	Dir  string   `json:"dir,omitempty"` // default the root folder
	User string   `json:"user,omitempty"`

	// Grouped has its processes in a control group of their own, in which all of them end together, where the
	// keeper may make one.
	Grouped bool `json:"grouped,omitempty"`

	// Limits are those of its process, in place of those of the keeper, and of its control group, without which
	// it is not started then.
	Limits []limit.Limit `json:"limits,omitempty"`

	Sockets []Inherit `json:"sockets,omitempty"` // inherited from descriptor 3 on, named by LISTEN_FDNAMES
	Secrets []Inherit `json:"secrets,omitempty"` // slots; the variable As has the descriptor's number
	Files   []File    `json:"-"`                 // inherited after the sockets; closed once the process has started

	// Ends closes what it inherits, sockets and secrets, once the last server that inherits it has left,
	// and no client has its domain any more.
	Ends bool `json:"ends,omitempty"`

	Notify bool              `json:"notify,omitempty"` // it is ready when it says so at NOTIFY_SOCKET, else at once
	Watch  time.Duration     `json:"watch,omitempty"`  // it is killed when it says WATCHDOG=1 less often, once it is ready
	Probe  *Probe            `json:"probe,omitempty"`  // how it is asked whether it is well; nil if it is not
	Policy *lifecycle.Policy `json:"policy,omitempty"` // nil: nobody restarts it but a client
	Stop   syscall.Signal    `json:"stop,omitempty"`   // asks it to end; default SIGTERM
	Grace  time.Duration     `json:"grace,omitempty"`  // between that and SIGKILL; default 10 s

	// Yields leaves restarts to a client, as long as one decides about the domain or may renew its claim. A
	// server that has ended then waits for a start of its name and Digest, and has the next process by that;
	// there is never a second one beside it. When nobody decides any more it starts again by its Policy.
	Yields bool `json:"yields,omitempty"`

	Token  string            `json:"token,omitempty"`  // tells the start from all others to a client that asks for it again; default none
	Digest string            `json:"digest,omitempty"` // of what the client compares; means nothing here
	Labels map[string]string `json:"labels,omitempty"` // at most 4 KiB; mean nothing here
}

// ID returns the server's name, without a start.
func (s *Spec) ID() ID { return ID{Domain: s.Domain, Name: s.Name} }

// maxLabels bounds the labels of a server, in bytes.
const maxLabels = 4 << 10

// lastSignal is the signal with the largest number.
const lastSignal syscall.Signal = 64

// Check says what of the specification cannot be meant.
func (s *Spec) Check() error {
	err := name.CheckLabel(s.Name)
	if err == nil {
		err = CheckDomain(s.Domain)
	}
	size := 0
	for label, value := range s.Labels {
		size += len(label) + len(value)
	}
	if err == nil && size > maxLabels {
		err = fmt.Errorf("%w: its labels have %d bytes: use at most %d", ErrInvalid, size, maxLabels)
	}
	if err == nil && (s.Stop < 0 || s.Stop > lastSignal) {
		err = fmt.Errorf("%w: it cannot be asked to end by the signal %d: use one of 1 to %d", ErrInvalid, int(s.Stop), int(lastSignal))
	}
	for _, l := range s.Limits {
		if wrong := l.Check(); err == nil && wrong != nil {
			err = fmt.Errorf("%w: the limit %v: %w", ErrInvalid, l, wrong)
		}
	}
	if err == nil && s.Probe != nil {
		_, err = s.Probe.Question()
	}
	if err != nil {
		return fmt.Errorf("cannot start %v: %w", s.ID(), err)
	}

	return nil
}

// Probe is what a server is asked again and again. One that fails too often in a row is hung: it is
// killed, and starts again by its policy. A question without an answer counts once in a while only if the
// processors work for the server meanwhile. Zero fields have the defaults.
type Probe struct {
	Ask         string        `json:"ask"`                    // as package probe reads it, but for notify and log
	Interval    time.Duration `json:"interval,omitempty"`     // between two questions; default 10 s
	Timeout     time.Duration `json:"timeout,omitempty"`      // of one; default 5 s
	Retries     int           `json:"retries,omitempty"`      // failures in a row after which it is hung; default 3
	StartPeriod time.Duration `json:"start_period,omitempty"` // in which failures do not count before the first success; default 30 s
}

// WithDefaults returns the probe with every zero field set.
func (p Probe) WithDefaults() Probe {
	p.Interval = cmp.Or(p.Interval, 10*time.Second)
	p.Timeout = cmp.Or(p.Timeout, 5*time.Second)
	p.Retries = cmp.Or(p.Retries, 3)
	p.StartPeriod = cmp.Or(p.StartPeriod, 30*time.Second)
	return p
}

// Question returns what is asked, or says what of the probe cannot be meant.
func (p Probe) Question() (probe.Probe, error) {
	q, err := probe.Parse(p.Ask)
	switch {
	case err != nil:
		return q, fmt.Errorf("%w: %w", ErrInvalid, err)
	case q.Kind == probe.Notify || q.Kind == probe.Log:
		return q, fmt.Errorf("%w: the probe %s: nobody can ask for that", ErrInvalid, p.Ask)
	case p.Interval < 0 || p.Timeout < 0 || p.Retries < 0 || p.StartPeriod < 0:
		return q, fmt.Errorf("%w: the probe %s has a negative time or number", ErrInvalid, p.Ask)
	}
	return q, nil
}

// CheckDomain says why a path is that of no domain.
func CheckDomain(domain string) error {
	if err := name.CheckDomain(domain); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}

	return nil
}

// Inherit is something that is kept, and what a process knows it by.
type Inherit struct {
	Key    string `json:"key"`
	As     string `json:"as"`               // default Key
	Domain string `json:"domain,omitempty"` // of the key; default that of the process
}

// Of returns the domain and the key of what a process of a domain inherits.
func (i Inherit) Of(domain string) (in, key string) { return cmp.Or(i.Domain, domain), i.Key }

// File is a file that a process inherits; the variable has its descriptor's number.
type File struct {
	Var  string
	File *os.File
}

// Socket is a listening socket that is kept.
type Socket struct {
	Domain  string `json:"domain"`
	Key     string `json:"key"`
	Network string `json:"network"` // tcp, tcp4, tcp6, unix, or handed: who listens at the Unix socket Address hands it out
	Address string `json:"address"` // as it was asked for, such as "localhost:0"
	Actual  string `json:"actual"`  // where it listens
	Held    Held   `json:"held"`
}

// Handed is the network of a socket that somebody else has opened.
const Handed = "handed"

// Held says who has a socket that is kept, after the keeper was killed.
type Held string

// Who has it.
const (
	Own      Held = "own"      // the keeper opened it
	Store    Held = "store"    // the keeper, to which its supervisor has given it back
	Getfd    Held = "getfd"    // the keeper, which took it back from a process
	Relisten Held = "relisten" // the keeper, which opened it again: what waited there is lost
	Child    Held = "child"    // processes that were started before; it is opened again when they have ended
	Lost     Held = "lost"     // nobody, for something else is at its address
)

// Proc is a server as it is now.
type Proc struct {
	ID
	Born     uint64            `json:"born,omitempty"` // the number of its first start, by which servers are ordered
	Pid      int               `json:"pid,omitempty"`  // 0 while it waits for its next start
	State    lifecycle.State   `json:"state"`
	Since    time.Time         `json:"since"` // of the state
	Started  time.Time         `json:"started"`
	Status   string            `json:"status,omitempty"`  // what it has said of itself
	Failing  string            `json:"failing,omitempty"` // what its last probes have shown, while they fail
	Restarts int               `json:"restarts"`
	Digest   string            `json:"digest,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	LastExit *Exit             `json:"last_exit,omitempty"` // of its start before this one
	Group    string            `json:"group,omitempty"`     // folder of its control group
	NoGroup  string            `json:"no_group,omitempty"`  // why it has none, if it was to have one
	LogLost  int64             `json:"log_lost,omitempty"`  // lines of its log that could not be written
}

// Exit is how a process ended.
type Exit struct {
	Code   int       `json:"code"` // -1 if a signal ended it, or if it is not known
	Signal string    `json:"signal,omitempty"`
	How    How       `json:"how"`
	Time   time.Time `json:"time"`

	// OutOfMemory is that the kernel has killed a process of its control group, whose memory was used up.
	OutOfMemory bool `json:"out_of_memory,omitempty"`

	// Hung is why the keeper has given the process up and killed it; "" if it has not.
	Hung string `json:"hung,omitempty"`
}

// String returns "exited with code 1", "was ended by the signal killed" or "ended in an unknown
// way", and that its memory was used up, or why it was killed, if it was.
func (e Exit) String() string {
	text := fmt.Sprintf("exited with code %d", e.Code)
	switch {
	case e.How == Unknown || e.How == Reboot:
		text = "ended in an unknown way"
	case e.Signal != "":
		text = "was ended by the signal " + e.Signal
	}
	if e.OutOfMemory {
		text += ": its memory was used up"
	}
	if e.Hung != "" {
		text += ": hung: " + e.Hung
	}
	return text
}

// Event returns what the end is in the life of a server.
func (e Exit) Event() lifecycle.Event {
	if e.Code == 0 && e.How != Unknown {
		return lifecycle.Finished
	}
	return lifecycle.Exited
}

// How says how the end of a process is known.
type How string

// The ways.
const (
	Waited  How = "wait"    // the keeper was its parent
	Stat    How = "stat"    // the keeper read it in /proc, of a process that nobody had waited for yet
	Pidfd   How = "pidfd"   // the kernel told it, of a process that somebody else had waited for
	Unknown How = "unknown" // nobody can know
	Reboot  How = "reboot"  // the machine was started again; nobody can know
)

// ExitRecord is the end of a process. Numbers grow with time.
type ExitRecord struct {
	Number uint64 `json:"number"`
	ID
	Pid   int    `json:"pid"`
	Exit  Exit   `json:"exit"`
	Token string `json:"token,omitempty"` // of the server's first start
}

// Kind says what happened to a server.
type Kind string

// The kinds of events.
const (
	Started  Kind = "started"
	Ready    Kind = "ready"
	NotReady Kind = "not ready"
	Hung     Kind = "hung"   // it is being killed
	Leaves   Kind = "leaves" // it is asked to end
	Exited   Kind = "exited"
	Waits    Kind = "backoff" // for its next start
	Failed   Kind = "failed"  // as Waits, after too many restarts
	Stopped  Kind = "stopped" // nobody wants it any more, and it has gone
	Heard    Kind = "heard"   // it has said what means nothing
	Missed   Kind = "missed"  // events that nobody can be told any more
)

// Event is something that happened to a server. Numbers grow with time.
type Event struct {
	Number uint64    `json:"number"`
	Time   time.Time `json:"time"`
	Kind   Kind      `json:"kind"`
	ID
	Pid  int    `json:"pid,omitempty"`
	Exit *Exit  `json:"exit,omitempty"`
	Text string `json:"text,omitempty"` // why, for people
}

// Claim is the wish to decide about a domain and all below it. One client at a time does.
type Claim struct {
	Domain string `json:"domain"` // "" to look only
	Who    string `json:"who"`    // for people, such as "divisi run shop (process 811)"

	// Take has it also from a client that holds it: the changes of that one are refused from then on. It
	// takes no domain above or below, and none where everything ends with the claim: the error is
	// [ErrHeld], and [ErrBound] as well in the last case.
	Take bool `json:"take"`

	// Ends has everything in the domain end with the claim, however that ends, and what is left there
	// from before when it begins.
	Ends bool `json:"ends,omitempty"`

	// Epoch renews the claim that had it, as after the end of a connection. If anybody else has
	// decided since, the error is [ErrFenced]. Whose claim it was since the Token tells: a client that has
	// renewed its claim may have lost the answer.
	Epoch uint64 `json:"epoch,omitempty"`
	Token string `json:"token,omitempty"` // of the client, which nobody else has
}

// Holder is what holds a claim: who has it, since when, and which one it is.
type Holder struct {
	Domain string    `json:"domain"`
	Epoch  uint64    `json:"epoch"` // grows with every claim of the domain, also over restarts
	Who    string    `json:"who"`
	Since  time.Time `json:"since"`
	Token  string    `json:"token,omitempty"` // that of the claim
}

// Within reports whether a domain is another one or below it.
func Within(domain, other string) bool { return name.Within(domain, other) }

// Errors that clients tell apart.
var (
	ErrRuns    = errors.New("it runs already")
	ErrDiffers = errors.New("it is open at another address")
	ErrUnknown = errors.New("there is no such thing here")
	ErrHeld    = errors.New("somebody else decides there")
	ErrBound   = errors.New("everything there ends with that client") // comes with ErrHeld
	ErrFenced  = errors.New("somebody else decides there by now")
	ErrNoClaim = errors.New("changes need a claim of the domain")
	ErrInvalid = errors.New("it cannot be meant")
	ErrClosed  = errors.New("the keeper is closed")
)
