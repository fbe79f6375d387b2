// Package state has Consul's keys, locks and sessions in a store with etcd's API.
//
//   - A key is etcd's key kv/KEY, and its value is that key's, so who uses etcd's API reads and writes the same.
//   - What only Consul knows of a key, its flags and lock, is in meta/KEY, and there is no such key where there is nothing of
//     that. It is written in the same revision as the key. One that is older than the key is what a deleted one has left.
//   - A session is session/ID, and if it has a TTL, alive/session/ID lives as long as it is renewed.
//   - held/ID/KEY is there for every key that a session holds, and perhaps for some that it has held.
//   - delay/KEY is there as long as nobody may lock a key, since its last holder has ended without releasing it.
//
// All of them begin with the store's prefix. What changes is decided from what was read, and written if that is still so.
package state

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Entry is a key as Consul knows it.
type Entry struct {
	LockIndex   uint64
	Key         string
	Flags       uint64
	Value       []byte
	Session     string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

// State is Consul's state in a store.
type State struct {
	client *clientv3.Client
	prefix string
}

// New returns the state whose keys in a store begin with a prefix.
func New(client *clientv3.Client, prefix string) *State {
	return &State{client: client, prefix: prefix}
}

// side is what the key meta/KEY says.
type side struct {
	Flags     uint64 `json:",omitempty"`
	LockIndex uint64 `json:",omitempty"`
	Session   string `json:",omitempty"`
}

func (s *State) value(key string) string    { return s.prefix + "kv/" + key }
func (s *State) meta(key string) string     { return s.prefix + "meta/" + key }
func (s *State) delay(key string) string    { return s.prefix + "delay/" + key }
func (s *State) session(id string) string   { return s.prefix + "session/" + id }
func (s *State) alive(id string) string     { return s.prefix + "alive/session/" + id }
func (s *State) held(id, key string) string { return s.prefix + "held/" + id + "/" + key }
func below(prefix string) clientv3.OpOption {
	return clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix))
}
func at(stale bool) (options []clientv3.OpOption) {
	if stale {
		options = append(options, clientv3.WithSerializable())
	}
	return options
}

// entry makes an entry of a key and of what is known besides; it returns nil where there is no key.
func entry(key string, value, meta *mvccpb.KeyValue) (*Entry, error) {
	if value == nil {
		return nil, nil
	}
	e := &Entry{Key: key, CreateIndex: uint64(value.CreateRevision), ModifyIndex: uint64(value.ModRevision)}
	if len(value.Value) > 0 {
		e.Value = value.Value
	}
	if meta == nil || meta.ModRevision < value.CreateRevision {
		return e, nil
	}
	var more side
	err := json.Unmarshal(meta.Value, &more)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", meta.Key, err)
	}
	e.Flags, e.LockIndex, e.Session = more.Flags, more.LockIndex, more.Session
	return e, nil
}

// Get returns a key, nil if there is none, and as of which revision. Where stale is true, it may be an older one.
func (s *State) Get(ctx context.Context, key string, stale bool) (*Entry, int64, error) {
	read, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(s.value(key), at(stale)...),
		clientv3.OpGet(s.meta(key), at(stale)...),
	).Commit()
	if err != nil {
		return nil, 0, err
	}
	e, err := entry(key, first(read.Responses[0]), first(read.Responses[1]))
	return e, read.Header.Revision, err
}

func first(r *pb.ResponseOp) *mvccpb.KeyValue {
	kvs := r.GetResponseRange().GetKvs()
	if len(kvs) == 0 {
		return nil
	}
	return kvs[0]
}

// List returns the keys that begin with a prefix, in their order, and as of which revision.
func (s *State) List(ctx context.Context, prefix string, stale bool) ([]*Entry, int64, error) {
	return s.list(ctx, prefix, at(stale)...)
}

func (s *State) list(ctx context.Context, prefix string, options ...clientv3.OpOption) ([]*Entry, int64, error) {
	read, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(s.value(prefix), append(slices.Clone(options), below(s.value(prefix)))...),
		clientv3.OpGet(s.meta(prefix), append(slices.Clone(options), below(s.meta(prefix)))...),
	).Commit()
	if err != nil {
		return nil, 0, err
	}
	metas := map[string]*mvccpb.KeyValue{}
	for _, kv := range read.Responses[1].GetResponseRange().GetKvs() {
		metas[strings.TrimPrefix(string(kv.Key), s.meta(""))] = kv
	}
	entries := []*Entry{}
	for _, kv := range read.Responses[0].GetResponseRange().GetKvs() {
		key := strings.TrimPrefix(string(kv.Key), s.value(""))
		e, err := entry(key, kv, metas[key])
		if err != nil {
			return nil, 0, err
		}
		entries = append(entries, e)
	}
	return entries, read.Header.Revision, nil
}

// Keys returns the names of the keys that begin with a prefix, and the newest of their indexes. Those that go on with a
// separator after the prefix are told once, up to the separator.
func (s *State) Keys(ctx context.Context, prefix, separator string, stale bool) ([]string, int64, error) {
	read, err := s.client.Get(ctx, s.value(prefix), append(at(stale), below(s.value(prefix)), clientv3.WithKeysOnly())...)
	if err != nil {
		return nil, 0, err
	}
	names, newest := []string{}, int64(0)
	for _, kv := range read.Kvs {
		newest = max(newest, kv.ModRevision)
		name := strings.TrimPrefix(string(kv.Key), s.value(""))
		if separator != "" {
			before, _, more := strings.Cut(name[len(prefix):], separator)
			if more {
				name = prefix + before + separator
			}
		}
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	return names, newest, nil
}
