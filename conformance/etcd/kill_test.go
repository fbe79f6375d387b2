package etcd

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

var kills = flag.Int("kills", 4, "how often the store is killed")

// asked is what a client asks of one key: to write a value, or with compare only if the revision of the key is that.
type asked struct {
	key     string
	write   string // empty for a read
	compare int64  // 0 for a write in any case
}

// answer is what the client was told. Of what it was told nothing, anything may be true.
type answer struct {
	unknown   bool
	succeeded bool
	value     string
	modified  int64 // the revision at which the key was written
	revision  int64 // of the store
}

// state is the key, and the last revision of the store that anybody was told with it.
type state struct {
	value    string
	modified int64
	lost     bool // the revision of the last write is not known
}

// model is a key of a store that is linearizable, with its revisions.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		keys := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(asked).key
			keys[key] = append(keys[key], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range keys {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return state{} },
	Step: func(before, input, output any) (bool, any) {
		return step(before.(state), input.(asked), output.(answer))
	},
}

func step(s state, in asked, out answer) (bool, state) {
	switch {
	case in.write == "" && out.unknown:
		return true, s
	case in.write == "":
		if s.lost && s.value == out.value {
			s.modified, s.lost = out.modified, false // now it is known
		}
		return s.value == out.value && s.modified == out.modified, s
	case out.unknown && in.compare == 0:
		return true, state{value: in.write, lost: true}
	case out.unknown:
		if s.lost || s.modified == in.compare {
			return true, state{value: in.write, lost: true}
		}
		return true, s
	case in.compare != 0 && !out.succeeded:
		return s.lost || s.modified != in.compare, s
	case in.compare != 0 && !s.lost && s.modified != in.compare:
		return false, s
	}
	return s.lost || out.revision > s.modified, state{value: in.write, modified: out.revision}
}

// TestKill: what a store has answered stays true however often it is killed, and a watch that begins where the last
// one ended sees every revision, once and in order.
func TestKill(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	address := freeAddress(t)
	p := serve(t, data, "--listen", address)
	var h history
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for client := range 4 {
		all.Go(func() { h.work(ctx, t, client, address) })
	}
	events := make(chan []*clientv3.Event, 1)
	go func() { events <- watchAll(ctx, t, address) }()

	for range *kills {
		h.wait(t, 50+rand.IntN(100))
		_ = p.end(syscall.SIGKILL)
		p = serve(t, data, "--listen", address)
	}
	h.wait(t, 50)
	cancel()
	all.Wait()

	t.Logf("%d answers, %d writes without one, %d kills", h.answered, len(h.list)-h.answered, *kills)
	if got := porcupine.CheckOperationsTimeout(model, h.list, time.Minute); got != porcupine.Ok {
		t.Errorf("the history is not linearizable: %v", got)
	}
	h.compare(t, <-events)
}

// history is what clients have asked, and what they were told.
type history struct {
	mu       sync.Mutex // guards all below
	list     []porcupine.Operation
	answered int
}

func (h *history) add(client int, in asked, begin time.Time, out answer) {
	end := time.Now()
	if out.unknown {
		end = time.Now().Add(time.Hour) // it may become true at any later time
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !out.unknown:
		h.answered++
	case in.write == "":
		return // it says nothing
	}
	h.list = append(h.list, porcupine.Operation{ClientId: client, Input: in, Call: begin.UnixNano(), Output: out, Return: end.UnixNano()})
}

// wait waits for so many answers more.
func (h *history) wait(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.answered
	}
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for begin := count(); count() < begin+more; <-ticker.C {
		if t.Context().Err() != nil {
			return
		}
	}
}

// work asks until the context ends. What has no answer is never asked again, so each value is written once at most.
func (h *history) work(ctx context.Context, t *testing.T, client int, address string) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, Logger: zap.NewNop()})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	seen := map[string]int64{}
	for i := 0; ctx.Err() == nil; i++ {
		in := asked{key: fmt.Sprint("key ", rand.IntN(3))}
		if rand.IntN(2) == 0 {
			in.write = fmt.Sprintf("%d of %d", i, client)
			if rand.IntN(2) == 0 {
				in.compare = seen[in.key]
			}
		}
		id := client*1_000_000 + i // porcupine wants clients that wait for their answers
		begin := time.Now()
		out := ask(ctx, c, in)
		h.add(id, in, begin, out)
		if out.modified > 0 {
			seen[in.key] = out.modified
		}
	}
}

func ask(ctx context.Context, c *clientv3.Client, in asked) answer {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if in.write == "" {
		r, err := c.Get(ctx, in.key)
		if err != nil {
			return answer{unknown: true}
		}
		if len(r.Kvs) == 0 {
			return answer{revision: r.Header.Revision}
		}
		return answer{value: string(r.Kvs[0].Value), modified: r.Kvs[0].ModRevision, revision: r.Header.Revision}
	}
	txn := c.Txn(ctx)
	if in.compare != 0 {
		txn = txn.If(clientv3.Compare(clientv3.ModRevision(in.key), "=", in.compare))
	}
	r, err := txn.Then(clientv3.OpPut(in.key, in.write)).Commit()
	if err != nil {
		return answer{unknown: true}
	}
	return answer{succeeded: r.Succeeded, revision: r.Header.Revision}
}

// watchAll returns all events until the context ends. It goes on where it has ended.
func watchAll(ctx context.Context, t *testing.T, address string) []*clientv3.Event {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, Logger: zap.NewNop()})
	if err != nil {
		t.Error(err)
		return nil
	}
	defer c.Close()
	var events []*clientv3.Event
	next := int64(1)
	for ctx.Err() == nil {
		for r := range c.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(next)) {
			if r.CompactRevision != 0 {
				t.Errorf("a watch from %d was told of a compaction at %d", next, r.CompactRevision)
			}
			events = append(events, r.Events...)
			next = r.Header.Revision + 1
		}
	}
	return events
}

// compare: the watch has seen each revision once and in order, and every write that was answered.
func (h *history) compare(t *testing.T, events []*clientv3.Event) {
	t.Helper()
	at := map[int64]string{}
	for i, e := range events {
		if i > 0 && e.Kv.ModRevision != events[i-1].Kv.ModRevision+1 {
			t.Errorf("the watch shows revision %d after %d", e.Kv.ModRevision, events[i-1].Kv.ModRevision)
		}
		at[e.Kv.ModRevision] = string(e.Kv.Value)
	}
	last := events[len(events)-1].Kv.ModRevision
	for _, o := range h.list {
		in, out := o.Input.(asked), o.Output.(answer)
		if in.write == "" || !out.succeeded || out.revision > last {
			continue // the context ended before the watch had seen it
		}
		if at[out.revision] != in.write {
			t.Errorf("%q was written at revision %d, where the watch shows %q", in.write, out.revision, at[out.revision])
		}
	}
}
