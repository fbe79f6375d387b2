package weavelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/name"
)

const (
	// slowInit is how long an Init may take before the log says what it does.
	slowInit = 5 * time.Second

	// initEnd bounds how long an Init may go on after its context has ended: an Init that does not
	// look at its context must not keep a process that is asked to end.
	initEnd = 2 * time.Second
)

// part is one component that lives in this process. Its life is two steps: its fields are filled,
// then Init runs. Each happens once, and whoever needs it waits for its end.
type part struct {
	component *codegen.Component
	impl      any
	fields    Fields
	fill      *step
	init      *step
	calls     inFlight // from other processes
	word      word     // whether it takes calls, as it says itself

	waits atomic.Pointer[string] // the component that its Init waits for
}

func newPart(c *codegen.Component) *part {
	return &part{component: c, fill: newStep(), init: newStep()}
}

// started reports whether Init has returned.
func (p *part) started() bool { return p.init.over() }

// name returns the component's short name.
func (p *part) name() string { return name.Short(p.component.Info.Name) }

// waitFor notes that the part's Init waits for a component until the function that it returns is
// called.
func (p *part) waitFor(component string) (done func()) {
	if p.started() {
		return nothing
	}
	return p.noteWait(component)
}

func nothing() {}

func (p *part) noteWait(component string) (done func()) {
	p.waits.Store(&component)
	return func() { p.waits.Store(nil) }
}

// delay says what keeps a part from being started, in a sentence.
func (p *part) delay(now time.Time, g graph) string {
	began, running := p.init.began()
	if !running {
		return fmt.Sprintf("%s waits for the start of what it uses", p.name())
	}

	took := now.Sub(began).Round(time.Second)
	if waits := p.waits.Load(); waits != nil {
		text := fmt.Sprintf("Init of %s waits for %s", p.name(), name.Short(*waits))
		if cycle := g.cycle(p.component.Info.Name, *waits); cycle != "" {
			text += fmt.Sprintf(", but they refer to each other (%s): use it after Init", cycle)
		}
		return fmt.Sprintf("%s: it has run for %v", text, took)
	}
	return fmt.Sprintf("Init of %s has run for %v", p.name(), took)
}

// step is something that is done once. The first caller of claim does it and ends it; others wait.
type step struct {
	mu    sync.Mutex // guards since
	since time.Time  // when it was claimed

	done chan struct{} // closed when err is final
	err  error
}

func newStep() *step { return &step{done: make(chan struct{})} }

// claim reports whether the caller is the first, who has to do the step.
func (s *step) claim() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() {
		return false
	}

	s.since = time.Now()
	return true
}

// end makes the outcome of the step final.
func (s *step) end(err error) {
	s.err = err
	close(s.done)
}

// began returns when the step was claimed, and whether it was.
func (s *step) began() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since, !s.since.IsZero()
}

func (s *step) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// wait waits for the end of the step and returns its error, or that of ctx.
func (s *step) wait(ctx context.Context) error {
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// initialise runs the Init of a part, if it has one. It does not wait much longer than ctx.
func (p *part) initialise(ctx context.Context, log *slog.Logger, g graph) error {
	i, ok := p.impl.(interface{ Init(context.Context) error })
	if !ok {
		return nil
	}

	slow := time.AfterFunc(slowInit, func() {
		if !p.started() {
			log.Warn(p.delay(time.Now(), g), "component", p.component.Info.Name)
		}
	})
	defer slow.Stop()

	err := within(ctx, initEnd, i.Init)
	if err == nil {
		return nil
	}

	if thrown, ok := errors.AsType[*panicError](err); ok {
		log.Error("component panicked", "component", p.component.Info.Name,
			"method", "Init", "panic", fmt.Sprint(thrown.value), "stack", thrown.stack)
	}
	return fmt.Errorf("cannot start %s: %w", p.component.Info.Name, err)
}

// within calls a function of a component. It returns when that does, or some time after ctx has
// ended: a component that does not keep to ctx must not keep the process.
func within(ctx context.Context, after time.Duration, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- protect(func() error { return f(ctx) }) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}

	select {
	case err := <-done:
		return err
	case <-time.After(after):
		return fmt.Errorf("it has not returned: %w", context.Cause(ctx))
	}
}

// panicError is a panic of a component's method, as an error.
type panicError struct {
	value any
	place string // file and line
	stack string
}

func (e *panicError) Error() string {
	return fmt.Sprintf("%v: %v (%s)", codegen.ErrPanic, e.value, e.place)
}

func (e *panicError) Unwrap() error { return codegen.ErrPanic }

// protect makes an error of a panic.
func protect(f func() error) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = &panicError{value: thrown, place: panicPlace(), stack: string(debug.Stack())}
		}
	}()
	return f()
}

// panicPlace returns the file and line that panicked. It is called by the function that recovers.
func panicPlace() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	panicking := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if panicking && !inRuntime {
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return "place unknown"
		}
	}
}
