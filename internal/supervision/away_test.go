package supervision

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/tree"
)

// TestAway: while the keeper of a host is away nothing starts there, who waits for a start waits no longer than its
// context, and an end that is told meanwhile is dealt with when the keeper is back.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life, end := context.WithCancel(t.Context())
		s := New(life, "/test", slog.New(slog.NewTextHandler(t.Output(), nil)))
		go s.Serve()
		defer synctest.Wait()
		defer end()
		root := &Member{Path: "/", Spec: tree.Spec{Group: true, Strategy: tree.OneForOne}}
		root.Run = func(context.Context) (func() (bool, error), error) { return nil, nil }
		if err := s.Start(t.Context(), root); err != nil {
			t.Fatal(err)
		}

		died := make(chan error)
		first, runs := member("/first", died)
		if err := s.Start(t.Context(), first); err != nil || *runs != 1 {
			t.Fatalf("it ran %d times: %v", *runs, err)
		}
		s.Tell(tree.Away, "h")
		died <- errors.New("oh")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		second, began := member("/second", died)
		if err := s.Start(short, second); !errors.Is(err, context.DeadlineExceeded) || *began != 0 {
			t.Errorf("it began %d times: %v", *began, err)
		}
		time.Sleep(time.Hour)
		list := s.Members()
		if len(list) != 2 || list[1].Is() != "ready, its keeper is away" || list[1].Failure != "oh" || *runs != 1 {
			t.Errorf("it ran %d times, and there are %+v", *runs, list)
		}

		s.Tell(tree.Back, "h")
		time.Sleep(time.Second)
		second, began = member("/second", died)
		if err := s.Start(t.Context(), second); err != nil || *began != 1 || *runs != 2 {
			t.Errorf("they ran %d and %d times: %v", *began, *runs, err)
		}
		for _, m := range s.Members()[1:] {
			if m.Is() != "ready" {
				t.Errorf("%+v", m)
			}
		}
	})
}

// member returns a member on the host h that runs until it is told that it has died, and how often it was started.
func member(at string, died <-chan error) (*Member, *int) {
	m, runs := &Member{Path: at, Spec: tree.Spec{Host: "h"}}, new(int)
	m.Run = func(ctx context.Context) (func() (bool, error), error) {
		*runs++
		return func() (bool, error) {
			select {
			case err := <-died:
				return false, err
			case <-ctx.Done():
				return false, ErrStopped
			}
		}, nil
	}
	return m, runs
}
