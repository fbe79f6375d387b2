// Package event has what happens to a running application, as types with fields: the deployer
// makes them, and terminals, logs, pages and tests follow them. Text is made where it is shown.
//
// The pattern is that of suture's events (github.com/thejerf/suture), which have a type each and
// leave logging to whoever listens.
package event

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Event is one of the types of this package. String says what happened in a sentence without a
// period.
type Event interface {
	Kind() Kind
	String() string
}

// Kind names a type of events in JSON and to users.
type Kind string

// The kinds.
const (
	KindStarted     Kind = "started"
	KindListening   Kind = "listening"
	KindReady       Kind = "ready"
	KindNotReady    Kind = "not_ready"
	KindLate        Kind = "late"
	KindSilent      Kind = "silent"
	KindHung        Kind = "hung"
	KindExited      Kind = "exited"
	KindBackoff     Kind = "backoff"
	KindFailed      Kind = "failed"
	KindDraining    Kind = "draining"
	KindStopped     Kind = "stopped"
	KindTookOver    Kind = "took_over"
	KindUpgrading   Kind = "upgrading"
	KindUpgraded    Kind = "upgraded"
	KindAdopted     Kind = "adopted"
	KindReplaced    Kind = "replaced"
	KindAsked       Kind = "asked"
	KindAnswered    Kind = "answered"
	KindRolledBack  Kind = "rolled_back"
	KindAppDraining Kind = "app_draining"
	KindAppStopped  Kind = "app_stopped"
	KindWarning     Kind = "warning"
)

// Server is the process that an event is about.
type Server struct {
	Name    string `json:"name"` // such as "cart-0@/shop"
	Group   string `json:"group"`
	Version string `json:"version"`
	Pid     int    `json:"pid,omitempty"` // 0 when no process runs
}

// Of returns the server; it is promoted to every event that is about one.
func (s Server) Of() Server { return s }

// About returns the server that an event is about, and false if it is about the application.
func About(e Event) (Server, bool) {
	of, ok := e.(interface{ Of() Server })
	if !ok {
		return Server{}, false
	}

	return of.Of(), true
}

// Started says that a process has been started.
type Started struct{ Server }

// Listening says that a server serves a public listener.
type Listening struct {
	Server
	Listener string `json:"listener"`
	URL      string `json:"url"`
}

// Ready says that a server takes calls.
type Ready struct{ Server }

// NotReady says that a server that was ready takes no calls for a while.
type NotReady struct {
	Server
	Reason string `json:"reason,omitempty"`
}

// Late says that a server lives, and is not ready after the time in which it was expected to be.
type Late struct {
	Server
	After  time.Duration `json:"after_ns"`
	Reason string        `json:"reason,omitempty"`
}

// Silent says that a server gets no calls because it has not answered.
type Silent struct{ Server }

// Hung says that a server is killed because it has not answered, or does nothing any more.
type Hung struct {
	Server
	Reason string `json:"reason,omitempty"` // what else it is that tells so
}

// Exited says how a process ended.
type Exited struct {
	Server
	Code   int    `json:"code"`             // -1 if a signal ended it, or if it is not known
	Signal string `json:"signal,omitempty"` // such as "killed"
	Text   string `json:"exit"`             // such as "exited with code 1"
	Asked  bool   `json:"asked"`            // the deployer had asked for it, or the main program has returned
	Last   string `json:"last,omitempty"`   // what the process said last, if it failed
}

// Restarting says when a server that ended starts again. Failed tells that it has ended too often
// before it was ready, so that the wait is the longest.
type Restarting struct {
	Server
	At     time.Time     `json:"next_start"`
	In     time.Duration `json:"in_ns"`
	Failed bool          `json:"failed"`
	Reason string        `json:"reason,omitempty"` // unless the end of its process says it
}

// Adopted says that a server runs already as the program wants it.
type Adopted struct{ Server }

// Replaced says that a server ran in another way than the program wants, and that its next process has taken
// its place.
type Replaced struct{ Server }

// Asked says that a program wants to know something.
type Asked struct {
	Key  string `json:"key"`
	Text string `json:"question"`
}

// Answered says that a program has taken an answer. It does not say which value that was: it may be a secret.
type Answered struct {
	Key    string `json:"key"`
	Answer string `json:"answer"` // its kind: value, retry or give-up
}

// Draining says that a server ends what it is doing, and takes no new calls.
type Draining struct{ Server }

// Stopped says that a server has ended and does not start again.
type Stopped struct{ Server }

// TookOver says that a deployer goes on with what another one has left running.
type TookOver struct {
	Version string `json:"version"`
	Servers int    `json:"servers"`
}

// Upgrading says that a version starts beside the one that runs.
type Upgrading struct {
	Version string `json:"version"`
}

// Upgraded says that a version has replaced the one before.
type Upgraded struct {
	Version string `json:"version"`
}

// RolledBack says that a version did not become ready, and that the one before goes on.
type RolledBack struct {
	Version string `json:"version"`
	Reason  string `json:"reason"`
}

// AppDraining says that the application is being stopped in order.
type AppDraining struct{}

// AppStopped says that everything has stopped.
type AppStopped struct{}

// Warning is what else an operator should know.
type Warning struct {
	Text string `json:"warning"`
}

func (Started) Kind() Kind     { return KindStarted }
func (Listening) Kind() Kind   { return KindListening }
func (Ready) Kind() Kind       { return KindReady }
func (NotReady) Kind() Kind    { return KindNotReady }
func (Late) Kind() Kind        { return KindLate }
func (Silent) Kind() Kind      { return KindSilent }
func (Hung) Kind() Kind        { return KindHung }
func (Exited) Kind() Kind      { return KindExited }
func (Draining) Kind() Kind    { return KindDraining }
func (Stopped) Kind() Kind     { return KindStopped }
func (TookOver) Kind() Kind    { return KindTookOver }
func (Upgrading) Kind() Kind   { return KindUpgrading }
func (Upgraded) Kind() Kind    { return KindUpgraded }
func (Adopted) Kind() Kind     { return KindAdopted }
func (Replaced) Kind() Kind    { return KindReplaced }
func (Asked) Kind() Kind       { return KindAsked }
func (Answered) Kind() Kind    { return KindAnswered }
func (RolledBack) Kind() Kind  { return KindRolledBack }
func (AppDraining) Kind() Kind { return KindAppDraining }
func (AppStopped) Kind() Kind  { return KindAppStopped }
func (Warning) Kind() Kind     { return KindWarning }

// Kind is "failed" or "backoff".
func (e Restarting) Kind() Kind {
	if e.Failed {
		return KindFailed
	}

	return KindBackoff
}

func (e Started) String() string { return fmt.Sprintf("%s started as process %d", e.Name, e.Pid) }
func (e Listening) String() string {
	return fmt.Sprintf("%s serves %s at %s", e.Name, e.Listener, e.URL)
}
func (e Ready) String() string     { return e.Name + " is ready" }
func (e Draining) String() string  { return e.Name + " is draining" }
func (e Stopped) String() string   { return e.Name + " has stopped" }
func (e Silent) String() string    { return e.Name + " does not answer: it gets no calls until it does" }
func (e Upgrading) String() string { return "version " + e.Version + " starts" }
func (e TookOver) String() string {
	return fmt.Sprintf("version %s runs already, in %d processes: taken over", e.Version, e.Servers)
}
func (e Upgraded) String() string { return "version " + e.Version + " runs" }
func (e Warning) String() string  { return e.Text }
func (e Answered) String() string {
	return e.Key + " was answered: " + cmp.Or(answers[e.Answer], e.Answer)
}
func (e Adopted) String() string {
	return fmt.Sprintf("%s runs already, as process %d", e.Name, e.Pid)
}
func (e Replaced) String() string {
	return fmt.Sprintf("%s was replaced by process %d", e.Name, e.Pid)
}
func (e Asked) String() string {
	first, _, _ := strings.Cut(e.Text, "\n")
	return e.Key + " is asked: " + first
}
func (AppDraining) String() string { return "stopping in order" }
func (AppStopped) String() string  { return "everything has stopped" }

func (e NotReady) String() string {
	return e.Name + " is not ready: " + cmp.Or(e.Reason, "it does not say why")
}

func (e Hung) String() string {
	if e.Reason == "" {
		return e.Name + " still does not answer: it is killed"
	}
	return e.Name + " is killed: hung: " + e.Reason
}

func (e Late) String() string {
	return fmt.Sprintf("%s is not ready after %v: %s", e.Name, e.After, cmp.Or(e.Reason, "it does not say why"))
}

func (e Exited) String() string {
	text := fmt.Sprintf("%s (process %d) %s", e.Name, e.Pid, e.Text)
	if e.Last != "" {
		text += ": " + e.Last
	}

	return text
}

func (e Restarting) String() string {
	in := e.In.Round(time.Millisecond)
	switch {
	case e.Failed && e.Reason != "":
		return fmt.Sprintf("%s has failed too often, and starts again in %v: %s", e.Name, in, e.Reason)
	case e.Reason != "":
		return fmt.Sprintf("%s has failed, and starts again in %v: %s", e.Name, in, e.Reason)
	case e.Failed:
		return fmt.Sprintf("%s has failed: it ended too often before it was ready, and starts again in %v", e.Name, in)
	}

	return fmt.Sprintf("%s starts again in %v", e.Name, in)
}

func (e RolledBack) String() string {
	return fmt.Sprintf("version %s has been stopped: %s; the version before goes on", e.Version, e.Reason)
}

// answers are kinds of answers for people.
var answers = map[string]string{"value": "a value was given", "retry": "once more", "give-up": "given up"}

// missedEvents is what a slow follower is shown in the place of n events.
func missedEvents(n int) Warning {
	return Warning{fmt.Sprintf("%d events are not shown: they came faster than they could be", n)}
}
