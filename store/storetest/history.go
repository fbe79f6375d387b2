// Package storetest checks what a store has told its clients: histories of keys that are read and written are
// linearizable, and watches show every revision once.
package storetest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	keys      = 3                     // that a history is about
	patience  = 10 * time.Second      // with one request
	pause     = 10 * time.Millisecond // after one that had no answer
	checkTime = time.Minute           // that a history may take to be checked
)

// History is what clients have asked, and what they were told. The zero value is an empty one.
type History struct {
	clock atomic.Int64 // counts what begins and ends, which orders more than time does

	mu       sync.Mutex // guards all below
	list     []porcupine.Operation
	answered int
	revision int64  // the last one that anybody was told
	backward string // the first answer that was older than one before it
}

// Work asks until the context ends, every request of the client that next returns. What has no answer is never asked
// again, so each value is written once at most. Workers of a history have different numbers.
func (h *History) Work(ctx context.Context, worker int, random *rand.Rand, next func() *clientv3.Client) {
	seen := map[string]int64{}
	for i := 0; ctx.Err() == nil; i++ {
		in := asked{key: fmt.Sprint("key ", random.IntN(keys))}
		if random.IntN(2) == 0 {
			in.write = fmt.Sprintf("%d of %d", i, worker)
			if random.IntN(2) == 0 {
				in.compare = seen[in.key]
			}
		}
		id := worker*1_000_000 + i // porcupine wants clients that wait for their answers
		begin, before := h.clock.Add(1), h.last()
		out := ask(ctx, next(), in)
		h.add(id, in, begin, out)
		h.advance(before, in, out)
		switch {
		case out.unknown:
			rest(ctx)
		case out.modified > 0:
			seen[in.key] = out.modified
		}
	}
}

// rest lets who has not answered come back.
func rest(ctx context.Context) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// last returns the last revision that anybody was told.
func (h *History) last() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.revision
}

// advance takes the revision of an answer, which is not before one that was told when the request began.
func (h *History) advance(before int64, in asked, out answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revision = max(h.revision, out.revision)
	if !out.unknown && out.revision < before && h.backward == "" {
		h.backward = fmt.Sprintf("%+v was answered at revision %d, after revision %d was told", in, out.revision, before)
	}
}

func (h *History) add(client int, in asked, begin int64, out answer) {
	end := h.clock.Add(1)
	if out.unknown {
		end = math.MaxInt64 // it may become true at any later time
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !out.unknown:
		h.answered++
	case in.write == "":
		return // it says nothing
	}
	h.list = append(h.list, porcupine.Operation{ClientId: client, Input: in, Call: begin, Output: out, Return: end})
}

// Answered returns how many requests were answered, and how many writes were not.
func (h *History) Answered() (answered, unknown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answered, len(h.list) - h.answered
}

// T is what is told of what is wrong, as a test is.
type T interface {
	Helper()
	Error(...any)
	Errorf(string, ...any)
}

// Check fails the test where what clients were told is not true of any store. No worker may be at work any more.
func (h *History) Check(t T) {
	t.Helper()
	got := porcupine.CheckOperationsTimeout(model, h.list, checkTime)
	if got != porcupine.Ok {
		t.Errorf("the history is not linearizable: %v", got)
	}
	if h.backward != "" {
		t.Error(h.backward)
	}
}

// Compare fails the test where a watch of all keys has not seen each revision once and in order, or not every write
// that was answered. The watch may end before the history does.
func (h *History) Compare(t T, events []*clientv3.Event) {
	t.Helper()
	if len(events) == 0 {
		t.Error("the watch has seen nothing")
		return
	}
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

func ask(ctx context.Context, c *clientv3.Client, in asked) answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
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
