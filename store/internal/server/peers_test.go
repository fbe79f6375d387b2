package server

import (
	"encoding/json"
	"slices"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/raft/v3/raftpb"
)

// FuzzQuestion: what is read of a question is what is written of it again.
func FuzzQuestion(f *testing.F) {
	for _, q := range []question{
		{Renew: new(lease.LeaseID(7))}, {Left: &leaseAsked{ID: 7, Keys: true}}, {Hash: new(int64(3))},
		{Change: &change{Kind: raftpb.ConfChangeRemoveNode, Member: membership.Member{ID: 1}}},
		{Change: &change{Promote: true, Member: membership.Member{ID: 1}}},
	} {
		text, err := json.Marshal(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		q, err := parseQuestion(text)
		if err != nil {
			return
		}
		once, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseQuestion(once)
		if err != nil {
			t.Fatalf("%s is not read: %v", once, err)
		}
		twice, err := json.Marshal(again)
		if err != nil || string(once) != string(twice) {
			t.Errorf("%s becomes %s: %v", once, twice, err)
		}
	})
}

func TestOutvoted(t *testing.T) {
	for _, test := range []struct {
		hashes  map[types.ID]uint32
		members int
		want    []types.ID
	}{
		{map[types.ID]uint32{1: 7}, 3, nil},
		{map[types.ID]uint32{1: 7, 2: 7, 3: 7}, 3, nil},
		{map[types.ID]uint32{1: 7, 2: 7, 3: 8}, 3, []types.ID{3}},
		{map[types.ID]uint32{1: 8, 2: 7, 3: 7}, 3, []types.ID{1}},
		{map[types.ID]uint32{1: 7, 2: 8}, 3, []types.ID{nobody}}, // the third would decide
		{map[types.ID]uint32{1: 7, 2: 8}, 2, []types.ID{nobody}},
		{map[types.ID]uint32{1: 7, 2: 7, 3: 8, 4: 8}, 4, []types.ID{nobody}},
		{map[types.ID]uint32{1: 7, 2: 7, 3: 7, 4: 8, 5: 9}, 5, []types.ID{4, 5}},
	} {
		hashes := map[types.ID]*keysHash{}
		for id, h := range test.hashes {
			hashes[id] = &keysHash{KeyValueHash: mvcc.KeyValueHash{Hash: h}}
		}
		if got := outvoted(hashes, test.members); !slices.Equal(got, test.want) {
			t.Errorf("of %v, %d members, are outvoted %v", test.hashes, test.members, got)
		}
	}
}
