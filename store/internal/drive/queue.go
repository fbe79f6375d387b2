package drive

import "sync"

// queue hands values from the goroutine that owns raft to one that may be slow, and back. Nobody waits to put
// something in; raft bounds what is in flight.
type queue[T any] struct {
	// ready has a value when the queue may have some.
	ready chan struct{}

	mu   sync.Mutex // guards list
	list []T
}

func newQueue[T any]() *queue[T] { return &queue[T]{ready: make(chan struct{}, 1)} }

func (q *queue[T]) put(v T) {
	q.mu.Lock()
	q.list = append(q.list, v)
	q.mu.Unlock()

	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take returns everything that waits, the oldest first.
func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}
