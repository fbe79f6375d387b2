package call

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call/admission"
)

const (
	// glance is how often it is looked whether a call that waits may begin because others wait for
	// something; when one ends, it is looked at once.
	glance = time.Millisecond

	tooMuch = "the replica has too much to do, and has not begun the call"
	tooMany = "the caller has too many calls in flight; the replica has not begun this one"
)

// entrance is where calls wait that would only be in each other's way. Those that run on the goroutine that
// reads do not pass it: to refuse one costs as much as to execute it.
type entrance struct {
	mu    sync.Mutex // guards what follows
	gate  *admission.Gate
	timer *time.Timer // armed while calls wait
}

func (e *entrance) open(most int, spare func() int) {
	e.gate = admission.NewGate(runtime.GOMAXPROCS(0), most, spare)
	e.timer = time.AfterFunc(time.Hour, e.look)
	e.timer.Stop()
}

// spareProcessors returns how many goroutines more could run at once; it is negative if more are ready to
// run than there are processors.
func spareProcessors() int {
	ready := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	metrics.Read(ready)
	return runtime.GOMAXPROCS(0) - int(ready[0].Value.Uint64())
}

// enter has a call begin, now or later, or refuses it.
func (e *entrance) enter(in *Incoming, arrived time.Time) {
	deadline, _ := in.life.Deadline()
	in.place = &admission.Call{
		Subject: in, Line: &in.session.line,
		Arrived: arrived, Deadline: deadline, Takes: time.Duration(in.method.takes.Load()),
	}
	e.mu.Lock()
	if e.gate.Enter(in.place, time.Now()) {
		e.mu.Unlock()
		go in.execute()
		return
	}
	e.lookLocked()
}

// leave lets others begin when a call has ended.
func (e *entrance) leave(in *Incoming) {
	if in.place == nil {
		return
	}
	e.mu.Lock()
	e.gate.Leave(in.place, time.Now())
	e.lookLocked()
}

func (e *entrance) look() {
	e.mu.Lock()
	e.lookLocked()
}

// lookLocked has calls begin whose turn has come, and refuses those whose time has passed. It releases
// the mutex.
func (e *entrance) lookLocked() {
	if e.gate.Waiting() == 0 {
		e.mu.Unlock()
		return
	}
	v := e.gate.Look(time.Now())
	if e.gate.Waiting() > 0 {
		e.timer.Reset(glance)
	}
	e.mu.Unlock()

	for _, c := range v.Begin {
		go c.Subject.(*Incoming).execute()
	}
	for _, c := range v.Refuse {
		c.Subject.(*Incoming).turnAway(textReply(codegen.StatusOverloaded, tooMuch))
	}
}

// withdraw takes a call away whose caller has given up, if it waits.
func (e *entrance) withdraw(in *Incoming) {
	if in.place == nil {
		return
	}
	e.mu.Lock()
	waited := e.gate.Withdraw(in.place)
	e.mu.Unlock()
	if waited {
		in.turnAway(Reply{Status: codegen.StatusCancelled})
	}
}

// clear takes the calls away that wait when a connection has ended.
func (e *entrance) clear(ss *session) {
	e.mu.Lock()
	waited := e.gate.Clear(&ss.line)
	e.mu.Unlock()
	for _, c := range waited {
		c.Subject.(*Incoming).turnAway(Reply{Status: codegen.StatusCancelled})
	}
}

// turnAway ends a call that has not begun.
func (in *Incoming) turnAway(r Reply) {
	in.life.End()
	in.Args, in.Meta, in.whole = nil, nil, nil
	in.session.s.running.Add(-1)
	if in.leave() {
		in.session.refuse(in.id, r)
	}
	in.session.s.note()
}
