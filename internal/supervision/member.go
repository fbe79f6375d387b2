package supervision

import (
	"context"
	"errors"
	"sync"

	"github.com/divisi-go/divisi/internal/tree"
)

// Member is something that is supervised.
type Member struct {
	Kind string // for people, such as "server"
	Name string // within its group, for people
	Site string // of the call that has asked for it
	Path string // in the tree
	Spec tree.Spec

	// Run starts it, again and again, and returns once it can be used. The function that it returns waits
	// for its end; a group has none.
	Run func(ctx context.Context) (wait func() (finished bool, err error), err error)

	// Renew has another process do what this one does, while that goes on, and reports whether it has: else it has to end
	// first. Nil is what always has to.
	Renew func(ctx context.Context) (done bool, err error)

	begin context.Context // of whoever has asked for it, for the first start; nil once that has begun
	first chan error      // what became of that
	once  sync.Once       // for its one value

	mu      sync.Mutex // guards what follows
	over    func()     // of a group that runs: is called when it has ended
	halt    func(kill bool)
	halted  bool   // what runs now was asked to end
	failure error  // how it has ended last
	asking  func() // withdraws the question what is to become of it; nil while nobody is asked
}

// What returns what it is, for people, such as "the server positiond".
func (m *Member) What() string { return "the " + m.Kind + " " + m.Name }

func (m *Member) answer(err error) { m.once.Do(func() { m.first <- err }) }

// WhenOver has a function be called when a group that starts now, and all that is in it, has ended.
func (m *Member) WhenOver(over func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = over
}

// WhenHalted says how what runs now is ended. What asks for that is [Member.Run]'s business until it has
// returned, by the end of its context.
func (m *Member) WhenHalted(halt func(kill bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.halt = halt
}

// Halted reports whether what runs now, or has just ended, was asked to end.
func (m *Member) Halted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.halted
}

// begins takes note that it starts.
func (m *Member) begins() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure, m.halted = nil, false
}

func (m *Member) stop(kill bool) {
	m.mu.Lock()
	halt := m.halt
	m.halted = true
	m.mu.Unlock()
	if halt != nil {
		halt(kill)
	}
}

func (m *Member) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = err
}

// Why returns how it has ended last, nil if it has not, or has not failed.
func (m *Member) Why() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

// failedBy has the failure of a group be that of what has failed in it, unless it has its own.
func (m *Member) failedBy(other *Member) {
	err := other.Why()
	if err == nil || errors.Is(err, ErrStopped) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure == nil || errors.Is(m.failure, ErrStopped) {
		m.failure = err
	}
}

// ended tells whoever has asked for a group that nothing in it runs any more.
func (m *Member) ended() {
	m.mu.Lock()
	over := m.over
	m.over = nil
	m.mu.Unlock()
	if over != nil {
		over()
	}
}

// Ask takes note of how the question what is to become of it is withdrawn, and reports whether nobody was
// being asked before. It is withdrawn once the member can be used.
func (m *Member) Ask(withdraw func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asking != nil {
		return false
	}
	m.asking = withdraw
	return true
}

// Withdraw has nobody be asked any more.
func (m *Member) Withdraw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asking != nil {
		m.asking()
		m.asking = nil
	}
}
