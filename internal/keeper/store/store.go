//go:build unix

// Package store has the supervisor of a keeper keep copies of its descriptors: the next process of the
// keeper's unit gets them back, however this one has ended.
package store

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/notify"
)

// Store is what a supervisor keeps for a keeper. A nil pointer keeps nothing. It is safe for concurrent
// use, and only Settle waits for the supervisor.
type Store struct {
	supervisor notify.Supervisor
	say        func(format string, args ...any)

	telling sync.Mutex // held to tell orders, one at a time

	mu     sync.Mutex           // guards what follows
	back   []inherit.Descriptor // from the keeper before, until somebody takes them
	orders []order              // that the supervisor is yet to be told, the oldest first
	told   bool                 // something since it has settled
}

// order is what the supervisor is to do.
type order struct {
	name string
	fd   int // a copy of what to keep; none to drop what is kept under the name
}

const none = -1

// Open returns the store of a supervisor, with what that has given back. What cannot be kept is said.
func Open(s notify.Supervisor, back []inherit.Descriptor, say func(format string, args ...any)) *Store {
	return &Store{supervisor: s, say: say, back: back}
}

// Socket is the name of a listening socket with an inode, which no other one has while the supervisor
// keeps it.
func Socket(inode uint64) string { return "socket-" + strconv.FormatUint(inode, 10) }

// File is the name of files that a server, which began with a start, has had kept under a name of its
// own.
func File(born uint64, name string) string { return files(born) + name }

func files(born uint64) string { return "file-" + strconv.FormatUint(born, 10) + "-" }

// Keep has a copy of a descriptor kept under a name, beside others.
func (s *Store) Keep(name string, fd int) {
	if s == nil {
		return
	}
	copied, err := fork.Dup(fd)
	if err != nil {
		s.say("cannot have %s kept: %v", name, err)
		return
	}
	s.order(order{name, copied})
}

// Drop has what is kept under a name closed.
func (s *Store) Drop(name string) {
	if s != nil {
		s.order(order{name, none})
	}
}

// order gives an order. A supervisor that is busy delays nobody who gives one.
func (s *Store) order(o order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = append(s.orders, o)
	if len(s.orders) == 1 {
		go s.tell()
	}
}

// tell tells the supervisor all orders.
func (s *Store) tell() {
	s.telling.Lock()
	defer s.telling.Unlock()
	for {
		s.mu.Lock()
		orders := s.orders
		s.orders, s.told = nil, s.told || len(orders) > 0
		s.mu.Unlock()
		if len(orders) == 0 {
			return
		}

		for _, o := range orders {
			if err := s.carryOut(o); err != nil {
				s.say("%v", err)
			}
		}
	}
}

func (s *Store) carryOut(o order) error {
	if o.fd == none {
		return s.supervisor.Drop(o.name)
	}
	defer syscall.Close(o.fd)
	return s.supervisor.Keep(o.name, o.fd)
}

// settleTime bounds how long a supervisor that is busy may delay an answer.
const settleTime = time.Second

// Settle returns when the supervisor has done what it was told before: what was dropped is closed. One
// that is busy delays that for a second, and prevents nothing.
func (s *Store) Settle() {
	if s == nil {
		return
	}
	s.tell()
	s.mu.Lock()
	told := s.told
	s.told = false
	s.mu.Unlock()
	if !told {
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	if err := s.supervisor.Settle(ctx); err != nil {
		s.say("%v", err)
	}
}

// Take returns the descriptor that was given back under a name. It becomes the caller's, and the
// supervisor keeps its copy.
func (s *Store) Take(name string) (fd int, ok bool) {
	taken := s.take(func(d inherit.Descriptor) bool { return d.Name == name })
	if len(taken) == 0 {
		return none, false
	}
	for _, more := range taken[1:] {
		syscall.Close(more.FD)
	}
	return taken[0].FD, true
}

// TakeFiles returns the files of a server that were given back, the oldest first, by their own names. They
// become the caller's.
func (s *Store) TakeFiles(born uint64) []inherit.Descriptor {
	taken := s.take(func(d inherit.Descriptor) bool { return strings.HasPrefix(d.Name, files(born)) })
	for i := range taken {
		taken[i].Name = strings.TrimPrefix(taken[i].Name, files(born))
	}
	return taken
}

func (s *Store) take(wanted func(inherit.Descriptor) bool) []inherit.Descriptor {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken, left []inherit.Descriptor
	for _, d := range s.back {
		if wanted(d) {
			taken = append(taken, d)
		} else {
			left = append(left, d)
		}
	}
	s.back = left
	return taken
}

// Clear closes what was given back and nobody has taken, here and there, and says so.
func (s *Store) Clear() {
	for _, d := range s.take(func(inherit.Descriptor) bool { return true }) {
		syscall.Close(d.FD)
		s.Drop(d.Name)
		s.say("closes %q, which was kept for it: it does not know what that is", d.Name)
	}
}
