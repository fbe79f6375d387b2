package consulapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/divisi-go/divisi/store/internal/consul/index"
	"github.com/divisi-go/divisi/store/internal/consul/poll"
	"github.com/divisi-go/divisi/store/internal/consul/state"
)

// maxValue is how long a value may be.
const maxValue = 512 << 10

// key returns the key that a request names.
func (c *call) key(optional bool) (string, error) {
	switch {
	case c.rest == "" && !optional:
		return "", refuse(http.StatusBadRequest, "Missing key name")
	case strings.HasPrefix(c.rest, "/"):
		return "", refuse(http.StatusBadRequest, "Invalid key: it begins with a slash")
	case strings.ContainsFunc(c.rest, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", refuse(http.StatusBadRequest, "Invalid key: it has a control character")
	}
	return c.rest, nil
}

func getKV(s *Server, c *call) error {
	recurse, keys := c.query.Has("recurse"), c.query.Has("keys")
	key, err := c.key(recurse || keys)
	if err != nil {
		return err
	}
	t := c.terms
	form := fmt.Sprintf("%v %v", t.stale, t.pretty)
	switch {
	case keys:
		separator := c.query.Get("seperator")
		if c.query.Has("separator") {
			separator = c.query.Get("separator")
		}
		return s.respond(c, poll.Question{
			Name:   fmt.Sprintf("keys %s %q %s", form, separator, key),
			Ranges: []index.Range{{Key: "kv/" + key, Prefix: true}},
			Read:   func(ctx context.Context) (*poll.Answer, error) { return s.showKeys(ctx, key, separator, t) },
		})
	case recurse:
		return s.respond(c, poll.Question{
			Name:   fmt.Sprintf("tree %s %s", form, key),
			Ranges: []index.Range{{Key: "kv/" + key, Prefix: true}},
			Read:   func(ctx context.Context) (*poll.Answer, error) { return s.showTree(ctx, key, t) },
		})
	}
	raw := c.query.Has("raw")
	return s.respond(c, poll.Question{
		Name:   fmt.Sprintf("key %s %v %s", form, raw, key),
		Ranges: []index.Range{{Key: "kv/" + key}},
		Read:   func(ctx context.Context) (*poll.Answer, error) { return s.showKey(ctx, key, raw, t) },
	})
}

// none is the answer where there is nothing.
func none(index int64) *poll.Answer {
	return &poll.Answer{Index: index, Absent: true, Status: http.StatusNotFound}
}

func (t terms) answer(index int64, v any) (*poll.Answer, error) {
	text, err := t.encode(v)
	return &poll.Answer{Index: index, Kind: jason, Body: text}, err
}

func (s *Server) showKey(ctx context.Context, key string, raw bool, t terms) (*poll.Answer, error) {
	e, _, err := s.state.Get(ctx, key, t.stale)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return none(s.index.Table("kv")), nil
	case raw:
		return &poll.Answer{Index: int64(e.ModifyIndex), Kind: plain, Body: e.Value}, nil
	}
	return t.answer(int64(e.ModifyIndex), []*state.Entry{e})
}

func (s *Server) showTree(ctx context.Context, prefix string, t terms) (*poll.Answer, error) {
	entries, _, err := s.state.List(ctx, prefix, t.stale)
	if err != nil {
		return nil, err
	}
	newest := int64(0)
	for _, e := range entries {
		newest = max(newest, int64(e.ModifyIndex))
	}
	newest = s.index.Prefix("kv/"+prefix, newest)
	if len(entries) == 0 {
		return none(newest), nil
	}
	return t.answer(newest, entries)
}

func (s *Server) showKeys(ctx context.Context, prefix, separator string, t terms) (*poll.Answer, error) {
	names, newest, err := s.state.Keys(ctx, prefix, separator, t.stale)
	if err != nil {
		return nil, err
	}
	newest = s.index.Prefix("kv/"+prefix, newest)
	if len(names) == 0 && prefix != "" {
		return none(newest), nil
	}
	a, err := t.answer(newest, names)
	if err == nil {
		a.Absent = len(names) == 0
	}
	return a, err
}

func putKV(s *Server, c *call) error {
	key, err := c.key(false)
	if err != nil {
		return err
	}
	err = c.alone("cas", "acquire", "release")
	if err != nil {
		return err
	}
	op := state.Op{Verb: "set", Key: key}
	op.Flags, err = c.number("flags")
	if err == nil {
		op.Index, err = c.number("cas")
	}
	if err != nil {
		return err
	}
	switch {
	case c.query.Has("cas"):
		op.Verb = "cas"
	case c.query.Has("acquire"):
		op.Verb, op.Session = "lock", c.query.Get("acquire")
	case c.query.Has("release"):
		op.Verb, op.Session = "unlock", c.query.Get("release")
	}

	value, fits, err := c.body(maxValue)
	if err != nil {
		return err
	}
	if !fits {
		return refuse(http.StatusRequestEntityTooLarge, "Request body(%d bytes) too large, max size: %d bytes. See %s.",
			max(c.ContentLength, maxValue+1), maxValue, "https://developer.hashicorp.com/docs/agent/config/config-files#kv_max_value_size")
	}
	op.Value = value
	return s.one(c, op)
}

// number reads a parameter that is a number, 0 if it is not there.
func (c *call) number(name string) (uint64, error) {
	if !c.query.Has(name) {
		return 0, nil
	}
	n, err := strconv.ParseUint(c.query.Get(name), 10, 64)
	if err != nil {
		return 0, refuse(http.StatusInternalServerError, "%v", err)
	}
	return n, nil
}

func deleteKV(s *Server, c *call) error {
	recurse := c.query.Has("recurse")
	key, err := c.key(recurse)
	if err == nil {
		err = c.alone("recurse", "cas")
	}
	if err != nil {
		return err
	}
	op := state.Op{Verb: "delete", Key: key}
	op.Index, err = c.number("cas")
	switch {
	case err != nil:
		return err
	case recurse:
		op.Verb = "delete-tree"
	case c.query.Has("cas"):
		op.Verb = "delete-cas"
	}
	return s.one(c, op)
}

// one does one operation, and answers whether it was done.
func (s *Server) one(c *call, op state.Op) error {
	done, err := s.state.Apply(c.Context(), []state.Op{op})
	if err != nil {
		return err
	}
	if len(done.Failures) == 0 {
		s.reach(c.Context(), done.Revision)
		return c.send(true)
	}
	failed := done.Failures[0]
	if !failed.Lost {
		return refuse(http.StatusInternalServerError, "%s", failed.What)
	}
	return c.send(false)
}
