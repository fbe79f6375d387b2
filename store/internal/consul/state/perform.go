package state

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// encoded returns a record as it is stored.
func encoded(record any) string {
	text, err := json.Marshal(record)
	if err != nil {
		panic(err) // records are made of strings and numbers
	}
	return string(text)
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// perform does one operation with what was read.
func (t *try) perform(ctx context.Context, op Op) ([]Result, error) {
	switch op.Verb {
	case "delete-tree":
		t.removeTree(op.Key)
		return nil, nil
	case "get-tree":
		return t.tree(ctx, op.Key)
	}
	if op.Key == "" {
		return nil, wrong("Must provide key")
	}
	c := t.cells[op.Key]
	switch op.Verb {
	case "set":
		c.set(op, c.holder())
	case "cas":
		return c.cas(op)
	case "lock":
		return t.lock(ctx, c, op)
	case "unlock":
		return c.unlock(op)
	case "delete":
		c.remove()
		return nil, nil
	case "delete-cas":
		return c.removeCAS(op)
	default:
		return c.look(op)
	}
	return c.shown(), nil
}

// shown is what a write has written, without its value.
func (c *cell) shown() []Result {
	e := *c.entry
	e.Value = nil
	return []Result{{&e}}
}

func (c *cell) holder() string {
	if c.entry == nil {
		return ""
	}
	return c.entry.Session
}

// set writes a key, which keeps its lock. What would write the same again writes nothing.
func (c *cell) set(op Op, holder string) {
	was := c.entry
	if was != nil && was.Session == holder && was.Flags == op.Flags && bytes.Equal(was.Value, op.Value) {
		c.exact = true
		return
	}
	c.entry = &Entry{Key: c.key, Value: op.Value, Flags: op.Flags, Session: holder, CreateIndex: pending, ModifyIndex: pending}
	if was != nil {
		c.entry.LockIndex, c.entry.CreateIndex = was.LockIndex, was.CreateIndex
	} else if c.stored != nil {
		c.entry.CreateIndex = c.stored.CreateIndex
	}
	c.changed = true
}

func (c *cell) remove() {
	c.changed = c.changed || c.entry != nil || c.meta != 0
	c.entry = nil
}

func (c *cell) cas(op Op) ([]Result, error) {
	c.exact = true
	if c.entry == nil && op.Index != 0 || c.entry != nil && c.entry.ModifyIndex != op.Index {
		return nil, lost("failed to set key %q, index is stale", op.Key)
	}
	c.set(op, c.holder())
	return c.shown(), nil
}

func (c *cell) removeCAS(op Op) ([]Result, error) {
	c.exact = true
	if c.entry != nil && c.entry.ModifyIndex != op.Index {
		return nil, lost("failed to delete key %q, index is stale", op.Key)
	}
	c.remove()
	return nil, nil
}

func (c *cell) unlock(op Op) ([]Result, error) {
	if op.Session == "" {
		return nil, wrong("missing session")
	}
	c.exact = true
	if c.holder() != op.Session {
		return nil, lost("failed to unlock key %q, lock isn't held, or is held by another session", op.Key)
	}
	c.set(op, "")
	return c.shown(), nil
}

// lock writes a key for a session, which then holds it.
func (t *try) lock(ctx context.Context, c *cell, op Op) ([]Result, error) {
	if op.Session == "" {
		return nil, wrong("missing session")
	}
	read, err := t.state.client.Txn(ctx).Then(
		clientv3.OpGet(t.state.session(op.Session), t.pinned()...),
		clientv3.OpGet(t.state.delay(c.key), t.pinned()...),
	).Commit()
	if err != nil {
		return nil, err
	}
	session, err := decodeSession(first(read.Responses[0]))
	if err != nil {
		return nil, err
	}
	if session == nil || session.Ending {
		return nil, wrong("invalid session %q", op.Session)
	}
	if first(read.Responses[1]) != nil {
		return nil, lost("failed to lock key %q due to lock delay", op.Key)
	}
	t.guard(t.state.session(op.Session), int64(session.ModifyIndex))
	t.guard(t.state.delay(c.key), 0)

	c.exact = true
	holder := c.holder()
	if holder != "" && holder != op.Session {
		return nil, lost("failed to lock key %q, lock is already held", op.Key)
	}
	c.set(op, op.Session)
	if holder == "" {
		c.entry.LockIndex++
	}
	return c.shown(), nil
}

// guard makes the transaction depend on when a key was written last.
func (t *try) guard(key string, revision int64) {
	t.guards[key] = clientv3.Compare(clientv3.ModRevision(key), "=", revision)
}

// look does the operations that write nothing.
func (c *cell) look(op Op) ([]Result, error) {
	c.exact = true
	if op.Verb == "check-not-exists" {
		if c.entry != nil {
			return nil, wrong("key %q exists", op.Key)
		}
		return nil, nil
	}
	if op.Verb == "get-or-empty" && c.entry == nil {
		return []Result{{&Entry{Key: op.Key}}}, nil
	}
	if c.entry == nil && slices.Contains([]string{"get", "check-index", "check-session"}, op.Verb) {
		return nil, wrong("key %q doesn't exist", op.Key)
	}
	switch op.Verb {
	case "get", "get-or-empty":
		e := *c.entry
		return []Result{{&e}}, nil
	case "check-index":
		if c.entry.ModifyIndex != op.Index {
			return nil, wrong("failed index check for key %q, current modify index %d != %d", op.Key, c.entry.ModifyIndex, op.Index)
		}
	case "check-session":
		if c.entry.Session != op.Session {
			return nil, wrong("failed session check for key %q, current session %q != %q", op.Key, c.entry.Session, op.Session)
		}
	default:
		return nil, wrong("unknown KV verb %q", op.Verb)
	}
	return c.shown(), nil
}

// removeTree deletes the keys that begin with a prefix, those that were read among them.
func (t *try) removeTree(prefix string) {
	t.trees = append(t.trees, prefix)
	for key, c := range t.cells {
		if strings.HasPrefix(key, prefix) {
			c.entry, c.changed = nil, false // the range has it
		}
	}
}

// tree reads the keys that begin with a prefix, as they are after the operations so far.
func (t *try) tree(ctx context.Context, prefix string) ([]Result, error) {
	entries, revision, err := t.state.list(ctx, prefix, t.pinned()...)
	if err != nil {
		return nil, err
	}
	t.pin(revision)
	from := t.state.value(prefix)
	t.guards[from] = clientv3.Compare(clientv3.ModRevision(from), "<", t.revision+1).WithPrefix()

	found := map[string]*Entry{}
	for _, e := range entries {
		if !slices.ContainsFunc(t.trees, func(tree string) bool { return strings.HasPrefix(e.Key, tree) }) {
			found[e.Key] = e
		}
	}
	for key, c := range t.cells {
		switch {
		case !strings.HasPrefix(key, prefix):
		case c.entry == nil:
			delete(found, key)
		default:
			e := *c.entry
			found[key] = &e
		}
	}
	results := []Result{}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		results = append(results, Result{found[key]})
	}
	return results, nil
}
