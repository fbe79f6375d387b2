package balance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/memnet"
)

// brittleConn cuts reads and writes into random pieces, and breaks after a number of bytes.
type brittleConn struct {
	net.Conn
	mu    sync.Mutex
	rnd   *rand.Rand
	bytes int // left; negative for ever
}

var errBrittle = errors.New("the connection broke")

func (c *brittleConn) piece(n int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 1 && c.rnd.IntN(4) == 0 {
		n = 1 + c.rnd.IntN(n)
	}
	if c.bytes < 0 {
		return n, nil
	}
	if c.bytes -= n; c.bytes < 0 {
		c.bytes = 0
		c.Conn.Close()
		return 0, errBrittle
	}
	return n, nil
}

func (c *brittleConn) Read(b []byte) (int, error) {
	n, err := c.piece(len(b))
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(b[:n])
}

func (c *brittleConn) Write(b []byte) (done int, err error) {
	for len(b) > 0 {
		n, err := c.piece(len(b))
		if err != nil {
			return done, err
		}
		m, err := c.Conn.Write(b[:n])
		done += m
		if b = b[m:]; err != nil {
			return done, err
		}
	}
	return done, nil
}

// elements are shorter than this.
const elements = 70_000

// model is what the servers did, by the number that every call carries in its arguments.
type model struct {
	mu   sync.Mutex
	runs map[uint64]int
}

// The arguments of a call: number, size of the answer or number of elements, filling.
func (m *model) handle(stream bool) call.Handler {
	return func(ctx context.Context, in *call.Incoming) call.Reply {
		id, n := binary.LittleEndian.Uint64(in.Args), binary.LittleEndian.Uint32(in.Args[8:])
		m.mu.Lock()
		m.runs[id]++
		m.mu.Unlock()
		sum := crc32.ChecksumIEEE(in.Args)
		if id%7 == 0 {
			select {
			case <-time.After(time.Duration(id%1000) * time.Millisecond):
			case <-ctx.Done():
				return call.Reply{Status: codegen.StatusCancelled}
			}
		}
		if !stream {
			return call.Reply{Body: filled(sum, int(n))}
		}
		for i := range n {
			if err := in.Send(filled(sum+i, int(id*uint64(i+1)*7919%elements))); err != nil {
				return call.Reply{Status: codegen.StatusCancelled}
			}
		}
		return call.Reply{Status: codegen.StatusAppError, Body: filled(sum, 4)}
	}
}

// filled is n bytes, at least four, that depend on sum.
func filled(sum uint32, n int) []byte {
	b := make([]byte, max(n, 4))
	for i := 0; i+4 <= len(b); i += 4 {
		binary.LittleEndian.PutUint32(b[i:], sum+uint32(i))
	}
	return b
}

func sameBytes(t *testing.T, what string, got, want []byte) {
	if string(got) != string(want) {
		t.Errorf("%s: %d bytes differ from the %d expected", what, len(got), len(want))
	}
}

// TestRandomSchedules makes calls and streams of all kinds at once over connections that
// break, and compares what the callers are told with what the servers did.
func TestRandomSchedules(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { randomSchedule(t, seed) })
		})
	}
}

func randomSchedule(t *testing.T, seed uint64) {
	const callers, each = 12, 12
	rnd := rand.New(rand.NewPCG(seed, 0))
	n := memnet.New()
	n.Buffer = 1 << (10 + rnd.IntN(8))
	m := &model{runs: map[uint64]int{}}
	o := call.ServerOptions{Lookup: calltest.Handlers{1: m.handle(false), 2: m.handle(true)}.Lookup}
	if rnd.IntN(3) == 0 {
		o.MaxInFlight = 4 + rnd.IntN(20)
	}
	addrs := []string{"a", "b", "c"}
	var hosts []*calltest.Host
	for _, addr := range addrs {
		hosts = append(hosts, calltest.ServeMem(t, n, addr, o))
	}
	breaks := rnd.IntN(4) > 0
	var mu sync.Mutex
	p := newPool(t, PoolOptions{
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := n.Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			left := -1
			if breaks && rnd.IntN(4) > 0 {
				left = rnd.IntN(3 << 20)
			}
			return &brittleConn{Conn: nc, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 1)), bytes: left}, nil
		},
	})
	p.SetReplicas(addrs)
	var wg sync.WaitGroup
	for i := range callers {
		own := rand.New(rand.NewPCG(seed, uint64(i)+1))
		wg.Go(func() {
			for j := range each {
				m.one(t, p, own, uint64(i*each+j+1))
			}
		})
	}
	wg.Wait()
	synctest.Wait()
	inFlight := p.Stats().InFlight
	p.Close()
	for _, h := range hosts {
		if err := h.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		h.Stop()
	}
	synctest.Wait()
	for _, h := range hosts {
		if s := h.Stats(); s.InFlight != 0 || s.Connections != 0 {
			t.Errorf("server stats %+v", s)
		}
	}
	if inFlight != 0 {
		t.Errorf("%d calls are in flight", inFlight)
	}
}

// one makes a call or a stream and checks its outcome.
func (m *model) one(t *testing.T, p *Pool, rnd *rand.Rand, id uint64) {
	sizes := []int{12, 12, 100, 5000, 5000, 70_000, 300_000}
	args := make([]byte, sizes[rnd.IntN(len(sizes))])
	binary.LittleEndian.PutUint64(args, id)
	stream := rnd.IntN(3) == 0
	n := uint32(sizes[rnd.IntN(len(sizes))])
	if stream {
		n = uint32(rnd.IntN(12))
	}
	binary.LittleEndian.PutUint32(args[8:], n)
	sum := crc32.ChecksumIEEE(args)
	r := &call.Request{Method: codegen.Key{1}, Args: args, Idempotent: rnd.IntN(2) == 0, Routed: rnd.IntN(3) == 0, Shard: rnd.Uint64()}
	ctx, cancel := t.Context(), context.CancelFunc(func() {})
	impatient := rnd.IntN(4) == 0
	switch {
	case impatient:
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Millisecond)
	case rnd.IntN(2) == 0:
		ctx = context.Background()
	}
	defer cancel()
	var err error
	if stream {
		r.Method, r.Idempotent = codegen.Key{2}, false
		err = m.stream(ctx, t, p, rnd, r, sum, n)
	} else {
		var reply call.Reply
		if reply, err = p.Call(ctx, r); err == nil {
			if reply.Status != codegen.StatusOK {
				if !impatient {
					t.Errorf("call %d: %v", id, reply.Status)
				}
				return
			}
			sameBytes(t, fmt.Sprint("call ", id), reply.Body, filled(sum, int(n)))
		}
	}
	m.mu.Lock()
	runs := m.runs[id]
	m.mu.Unlock()
	var e *call.Error
	switch {
	case !r.Idempotent && runs > 1, runs > maxExecutions:
		t.Errorf("call %d was executed %d times", id, runs)
	case err == nil && runs == 0:
		t.Errorf("call %d was answered and not executed", id)
	case err == nil, impatient && errors.Is(err, context.DeadlineExceeded), err == errNotWanted:
	case !errors.As(err, &e):
		t.Errorf("call %d: %v", id, err)
	case !e.Executed && runs > 0:
		t.Errorf("call %d was executed %d times: %v", id, runs, err)
	case r.Idempotent && !e.Executed:
		t.Errorf("call %d is idempotent: %v", id, err)
	}
}

var errNotWanted = errors.New("closed before the end")

func (m *model) stream(ctx context.Context, t *testing.T, p *Pool, rnd *rand.Rand, r *call.Request, sum, n uint32) error {
	s, err := p.Stream(ctx, r)
	if err != nil {
		return err
	}
	defer s.Close()
	id := binary.LittleEndian.Uint64(r.Args)
	_, bounded := ctx.Deadline()
	until := n + 1
	if rnd.IntN(4) == 0 {
		until = uint32(rnd.IntN(5))
	}
	for i := range until {
		b, err := s.Recv()
		var status *codegen.StatusError
		switch {
		case err == nil && i < n:
			sameBytes(t, fmt.Sprint("stream ", id), b, filled(sum+i, int(id*uint64(i+1)*7919%elements)))
			continue
		case errors.As(err, &status) && status.Status == codegen.StatusAppError && i == n:
			sameBytes(t, fmt.Sprint("end of stream ", id), []byte(status.Text), filled(sum, 4))
			return nil
		case errors.As(err, &status) && status.Status == codegen.StatusCancelled && bounded:
			return context.DeadlineExceeded // the server was the first to notice
		case err == nil || err == io.EOF || status != nil:
			t.Errorf("stream %d of %d ends after %d: %v", id, n, i, err)
		}
		return err
	}
	return errNotWanted
}
