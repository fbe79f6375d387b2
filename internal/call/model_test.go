package call_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/memnet"
)

const (
	never = time.Duration(math.MaxInt64)
	// slack is by how much something may be late: a method that was thought to be fast keeps others for a
	// millisecond, and several may come together.
	slack = 20 * time.Millisecond
)

// scenario is one call as a whole: what its handler does, and what becomes of its caller meanwhile. In
// memory nothing takes time but waiting, so these say how it ends.
type scenario struct {
	id       uint32
	begins   time.Duration // after the begin of the round
	takes    time.Duration // the handler, or each element
	elements int           // of a stream; 0 for a plain call
	stops    int           // the reader takes so many elements at most
	args     int           // bytes
	size     int           // of the answer, or of each element

	// After the call's begin:
	deadline, cancelled, cut time.Duration
}

func randomScenario(rnd *rand.Rand, id uint32, cut time.Duration) *scenario {
	// Whole milliseconds for handlers, and parts for all else: nothing happens at the same time.
	within := func(most int, part time.Duration) time.Duration {
		return time.Duration(rnd.IntN(most))*time.Millisecond + part*time.Microsecond
	}
	size := func() int {
		return [...]int{0, 4, 10, 100, 100, 500, 500, 1000, 20_000, 60_000, 70_000, 200_000}[rnd.IntN(12)]
	}
	s := &scenario{
		id: id, begins: within(100, 0), args: 4 + size(), size: size(),
		deadline: never, cancelled: never, cut: never, stops: math.MaxInt,
	}
	if rnd.IntN(2) == 0 {
		s.takes = within(100, 0)
	}
	if rnd.IntN(4) == 0 {
		s.elements = 1 + rnd.IntN(6)
		s.takes /= 4
		if rnd.IntN(3) == 0 {
			s.stops = rnd.IntN(s.elements + 1)
		}
	}
	if rnd.IntN(3) == 0 {
		s.deadline = within(150, 300)
	}
	if rnd.IntN(3) == 0 {
		s.cancelled = within(150, 600)
	}
	if cut != never {
		s.cut = cut - s.begins
	}
	return s
}

// request returns the arguments, and part those of an answer or of an element.
func (s *scenario) request() []byte { return s.fill(s.args, 0) }

func (s *scenario) part(number int) []byte { return s.fill(s.size, number+1) }

func (s *scenario) fill(size, salt int) []byte {
	b := bytes.Repeat([]byte{byte(int(s.id)*31 + salt)}, size)
	if size >= 4 {
		binary.LittleEndian.PutUint32(b, s.id)
	}
	return b
}

// ends returns when the call ends unless it is answered before, when it would be answered, and how it ends
// otherwise.
func (s *scenario) ends() (at, answered time.Duration, how error) {
	at, how = s.deadline, context.DeadlineExceeded
	if s.cancelled < at {
		at, how = s.cancelled, context.Canceled
	}
	if s.cut < at {
		at, how = max(s.cut, 0), call.ErrTransport
	}
	if s.elements == 0 {
		return at, s.takes, how
	}
	return at, s.takes * time.Duration(min(s.elements, s.stops)), how
}

// check compares how a call has ended with how it has to.
func (s *scenario) check(err error, took time.Duration) error {
	ends, answered, how := s.ends()
	at := ends
	if err == nil {
		at = answered
	}
	switch {
	case err == nil && answered > ends:
		return fmt.Errorf("is answered after %v, want %v after %v", took, how, ends)
	case err != nil && !errors.Is(err, how):
		return fmt.Errorf("%v, want %v", err, how)
	case err != nil && answered+slack < ends:
		return fmt.Errorf("%v, though the answer was due after %v", err, answered)
	case took < at || took > at+slack:
		return fmt.Errorf("takes %v until %v, want %v", took, err, at)
	}
	return nil
}

// handle is the handler's part. Its context ends when its caller has gone, and soon.
func (s *scenario) handle(t *testing.T, ctx context.Context, in *call.Incoming) call.Reply {
	if !bytes.Equal(in.Args, s.request()) {
		t.Errorf("%+v gets other arguments", *s)
	}
	began := time.Now()
	wait := func() bool {
		if s.takes == 0 {
			return true
		}
		select {
		case <-time.After(s.takes):
			return true
		case <-ctx.Done():
			at, _, _ := s.ends()
			if took := time.Since(began); s.stops > s.elements && (took < at-slack || took > at+slack) {
				t.Errorf("%+v: its context ends after %v", *s, took)
			}
			return false
		}
	}
	if s.elements == 0 {
		wait()
		return call.Reply{Body: s.part(0)}
	}
	for i := range s.elements {
		if !wait() || in.Send(s.part(i)) != nil {
			return call.Reply{Status: codegen.StatusCancelled}
		}
	}
	return call.Reply{}
}

// play is the caller's part.
func (s *scenario) play(t *testing.T, c *call.Client) {
	time.Sleep(s.begins)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if s.deadline != never {
		ctx, cancel = context.WithTimeout(ctx, s.deadline)
		defer cancel()
	}
	if s.cancelled != never {
		defer time.AfterFunc(s.cancelled, cancel).Stop()
	}

	began := time.Now()
	err := s.converse(ctx, t, c)
	if wrong := s.check(err, time.Since(began)); wrong != nil {
		t.Errorf("%+v: %v", *s, wrong)
	}
}

func (s *scenario) converse(ctx context.Context, t *testing.T, c *call.Client) error {
	r := &call.Request{Method: codegen.Key{1}, Args: s.request()}
	if s.elements == 0 {
		reply, err := c.Call(ctx, r)
		if err == nil && (reply.Status != codegen.StatusOK || !bytes.Equal(reply.Body, s.part(0))) {
			t.Errorf("%+v: %v and %d bytes", *s, reply.Status, len(reply.Body))
		}
		return err
	}

	feed, err := c.Stream(ctx, r)
	if err != nil {
		return err
	}
	defer feed.Abandon()
	for i := 0; i < s.stops; i++ {
		elem, err := feed.Next(ctx)
		if err == call.ErrFeedEnded {
			reply, err := feed.Outcome()
			if err == nil && (reply.Status != codegen.StatusOK || i != s.elements) {
				t.Errorf("%+v: %v after %d elements", *s, reply.Status, i)
			}
			return err
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(elem, s.part(i)) {
			t.Errorf("%+v: element %d is another one", *s, i)
		}
	}
	return nil
}

// TestModel: calls and streams, given up, late or cut in all orders, end as a simple reference says and when
// it says so. Nothing is left of them at either end.
func TestModel(t *testing.T) {
	const rounds, calls = 6, 40
	for round := range rounds {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(round), 1))
			cut := never
			if round%2 == 1 {
				cut = time.Duration(rnd.IntN(150))*time.Millisecond + 900*time.Microsecond
			}
			scenarios := make([]*scenario, calls)
			for i := range scenarios {
				scenarios[i] = randomScenario(rnd, uint32(i), cut)
			}

			n := memnet.New()
			h := calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: calltest.Handlers{
				1: func(ctx context.Context, in *call.Incoming) call.Reply {
					return scenarios[binary.LittleEndian.Uint32(in.Args)].handle(t, ctx, in)
				}}.Lookup})
			nc, err := n.Dial(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			c := converse(t, nc, "a")
			var all sync.WaitGroup
			if cut != never {
				all.Go(func() {
					time.Sleep(cut)
					nc.Close()
				})
			}
			for _, s := range scenarios {
				all.Go(func() { s.play(t, c) })
			}
			all.Wait()

			time.Sleep(time.Second)
			synctest.Wait()
			if c.Pending() > 0 || h.Unanswered() > 0 || h.Stats().InFlight > 0 {
				t.Errorf("round %d: %d calls wait, %d have no answer, %d handlers run",
					round, c.Pending(), h.Unanswered(), h.Stats().InFlight)
			}
		})
	}
}
