package state

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Op is an operation on keys; its verbs are those of Consul's transactions.
type Op struct {
	Verb    string
	Key     string
	Value   []byte
	Flags   uint64
	Index   uint64
	Session string
}

// Writes reports whether an operation may change something.
func (o Op) Writes() bool {
	switch o.Verb {
	case "set", "cas", "lock", "unlock", "delete", "delete-cas", "delete-tree":
		return true
	}
	return false
}

// Result is what an operation has found or written. That of a write has no value.
type Result struct{ KV *Entry }

// Failure is why an operation was not done.
type Failure struct {
	OpIndex int
	What    string
	Lost    bool `json:"-"` // somebody else was faster, which is no error of a single operation
}

// refusal is an operation that cannot be done.
type refusal struct {
	what string
	lost bool
}

func (r *refusal) Error() string { return r.what }

func lost(format string, a ...any) error  { return &refusal{fmt.Sprintf(format, a...), true} }
func wrong(format string, a ...any) error { return &refusal{fmt.Sprintf(format, a...), false} }

// Outcome is what became of operations.
type Outcome struct {
	Results  []Result
	Failures []Failure // if there are any, nothing was done
	Revision int64     // as of which the results are
}

// Apply does all operations in their order, in one revision, or none of them.
func (s *State) Apply(ctx context.Context, ops []Op) (Outcome, error) {
	for tries := 0; ; tries++ {
		t := &try{state: s, cells: map[string]*cell{}, guards: map[string]clientv3.Cmp{}}
		done, outcome, err := t.do(ctx, ops)
		if errors.Is(err, rpctypes.ErrCompacted) {
			continue // the revision it read is gone
		}
		if err != nil || done {
			return outcome, err
		}
		select {
		case <-time.After(rand.N(min(time.Duration(tries+1)*time.Millisecond, 20*time.Millisecond))):
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		}
	}
}

// pending is the index of what will be written; it is in no store.
const pending = math.MaxUint64

// try is one try to do operations: what it has read, all of it as of one revision, and what it would write.
type try struct {
	state    *State
	revision int64
	cells    map[string]*cell
	trees    []string                // prefixes whose keys are deleted
	guards   map[string]clientv3.Cmp // besides those of the cells
}

// cell is one key.
type cell struct {
	key     string
	entry   *Entry // as it is after the operations so far, nil if there is none
	stored  *Entry // as it was read
	meta    int64  // when its meta key was written last
	exact   bool   // what is decided depends on all of the key, not on its meta key only
	changed bool
}

func (t *try) do(ctx context.Context, ops []Op) (done bool, o Outcome, err error) {
	err = t.load(ctx, ops)
	if err != nil {
		return false, o, err
	}
	for i, op := range ops {
		results, err := t.perform(ctx, op)
		var r *refusal
		switch {
		case errors.As(err, &r):
			o.Failures = append(o.Failures, Failure{OpIndex: i, What: r.what, Lost: r.lost})
		case err != nil:
			return false, Outcome{}, err
		}
		o.Results = append(o.Results, results...)
	}
	o.Revision = t.revision
	if len(o.Failures) > 0 {
		o.Results = nil
		return true, o, nil
	}

	written, done, err := t.commit(ctx)
	if err != nil || !done {
		return false, Outcome{}, err
	}
	o.Revision = max(o.Revision, written)
	for _, r := range o.Results {
		r.KV.settle(uint64(o.Revision))
	}
	return true, o, nil
}

// settle gives an entry the index with which it was written.
func (e *Entry) settle(index uint64) {
	if e.CreateIndex == pending {
		e.CreateIndex = index
	}
	if e.ModifyIndex == pending {
		e.ModifyIndex = index
	}
}

// part is how many keys are read by one request, each with its meta key; etcd allows 128 operations.
const part = 60

// load reads the keys that operations name.
func (t *try) load(ctx context.Context, ops []Op) error {
	var keys []string
	for _, op := range ops {
		if op.Verb != "get-tree" && op.Verb != "delete-tree" && op.Key != "" {
			keys = append(keys, op.Key)
		}
	}
	for len(keys) > 0 {
		now := keys[:min(part, len(keys))]
		keys = keys[len(now):]
		var reads []clientv3.Op
		for _, key := range now {
			reads = append(reads, clientv3.OpGet(t.state.value(key), t.pinned()...), clientv3.OpGet(t.state.meta(key), t.pinned()...))
		}
		read, err := t.state.client.Txn(ctx).Then(reads...).Commit()
		if err != nil {
			return err
		}
		t.pin(read.Header.Revision)
		for i, key := range now {
			meta := first(read.Responses[2*i+1])
			e, err := entry(key, first(read.Responses[2*i]), meta)
			if err != nil {
				return err
			}
			t.cells[key] = &cell{key: key, entry: e, stored: e}
			if meta != nil {
				t.cells[key].meta = meta.ModRevision
			}
		}
	}
	return nil
}

// pin makes all that is read later be as of the revision of the first read.
func (t *try) pin(revision int64) {
	if t.revision == 0 {
		t.revision = revision
	}
}

func (t *try) pinned() []clientv3.OpOption {
	if t.revision == 0 {
		return nil
	}
	return []clientv3.OpOption{clientv3.WithRev(t.revision)}
}

// commit writes what has changed, if what was read is still so, and returns the revision.
func (t *try) commit(ctx context.Context) (revision int64, done bool, err error) {
	w := &writes{state: t.state, put: map[string]bool{}}
	for _, c := range t.cells {
		w.cell(c)
	}
	for _, prefix := range t.trees {
		w.tree(t.state.value(prefix))
		w.tree(t.state.meta(prefix))
	}
	if len(w.ops) == 0 {
		return 0, true, nil
	}

	answer, err := t.state.client.Txn(ctx).If(t.compares()...).Then(w.ops...).Commit()
	if errors.Is(err, rpctypes.ErrTooManyOps) {
		return 0, false, fmt.Errorf("the transaction has %d writes and %d conditions, more than the store allows: etcd has --max-txn-ops: %w",
			len(w.ops), len(t.compares()), err)
	}
	if err != nil || !answer.Succeeded {
		return 0, false, err
	}
	return answer.Header.Revision, true, nil
}

// compares are what has to be still so.
func (t *try) compares() []clientv3.Cmp {
	var all []clientv3.Cmp
	for _, c := range t.cells {
		switch {
		case c.exact && c.stored == nil:
			all = append(all, clientv3.Compare(clientv3.ModRevision(t.state.value(c.key)), "=", 0))
		case c.exact:
			all = append(all, clientv3.Compare(clientv3.ModRevision(t.state.value(c.key)), "=", int64(c.stored.ModifyIndex)))
		case c.changed && c.entry != nil:
			all = append(all, clientv3.Compare(clientv3.ModRevision(t.state.meta(c.key)), "=", c.meta))
		}
	}
	for _, guard := range t.guards {
		all = append(all, guard)
	}
	return all
}

// writes are what a transaction writes, no key twice.
type writes struct {
	state *State
	ops   []clientv3.Op
	put   map[string]bool
}

func (w *writes) set(key, value string) {
	w.put[key] = true
	w.ops = append(w.ops, clientv3.OpPut(key, value))
}

func (w *writes) cell(c *cell) {
	if !c.changed {
		return
	}
	var before Entry
	if c.stored != nil {
		before = *c.stored
	}
	if c.entry == nil {
		if c.stored != nil {
			w.ops = append(w.ops, clientv3.OpDelete(w.state.value(c.key)))
		}
		if c.meta != 0 {
			w.ops = append(w.ops, clientv3.OpDelete(w.state.meta(c.key)))
		}
		return
	}

	w.set(w.state.value(c.key), string(c.entry.Value))
	now := side{c.entry.Flags, c.entry.LockIndex, c.entry.Session}
	switch {
	case now == side{} && c.meta != 0:
		w.ops = append(w.ops, clientv3.OpDelete(w.state.meta(c.key)))
	case now != side{} && now != (side{before.Flags, before.LockIndex, before.Session}):
		w.set(w.state.meta(c.key), encoded(now))
	}
	if before.Session == c.entry.Session {
		return
	}
	if before.Session != "" {
		w.ops = append(w.ops, clientv3.OpDelete(w.state.held(before.Session, c.key)))
	}
	if c.entry.Session != "" {
		w.set(w.state.held(c.entry.Session, c.key), "")
	}
}

// tree deletes what begins with a prefix, but for what is put.
func (w *writes) tree(prefix string) {
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for _, key := range sorted(w.put) {
		if strings.HasPrefix(key, prefix) {
			w.between(from, key)
			from = key + "\x00"
		}
	}
	w.between(from, end)
}

func (w *writes) between(from, end string) {
	if from < end {
		w.ops = append(w.ops, clientv3.OpDelete(from, clientv3.WithRange(end)))
	}
}
