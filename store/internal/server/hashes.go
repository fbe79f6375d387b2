package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// compactedInterval is how often the leader looks for a compaction that all members have done.
const compactedInterval = time.Minute

// ErrCorrupt is why a member ends that has other keys than most members.
var ErrCorrupt = errors.New("the keys of this member are not those of most members: remove it from the store, and let another one join with an empty folder")

// nobody stands in an alarm for a member that is not known.
const nobody = types.ID(0)

// keysHash is a check sum of the keys of a member.
type keysHash struct {
	mvcc.KeyValueHash
	At int64 // the revision of the member when it was made
}

// hash sums the keys up as of a revision. Where a compaction has done that, its sum counts, so that members have the same
// reason for it. A member that is behind waits for the revision.
func (s *Server) hash(revision int64) (*keysHash, error) {
	if s.State.KV.Rev() < revision {
		ctx, cancel := context.WithTimeout(s.context, answerTime)
		defer cancel()
		err := s.Linearize(ctx)
		if err != nil {
			return nil, err
		}
	}
	hash, at, err := s.State.KV.HashStorage().HashByRev(revision)
	return &keysHash{hash, at}, err
}

// hashes asks all other members for their keys as of a revision. Who does not answer is left out, and so is who has
// compacted up to another revision, for it has to have another sum.
func (s *Server) hashes(own *keysHash) map[types.ID]*keysHash {
	ctx, cancel := context.WithTimeout(s.context, answerTime)
	defer cancel()
	var mu sync.Mutex // guards found
	found := map[types.ID]*keysHash{s.MemberID(): own}
	var all sync.WaitGroup
	for _, id := range s.State.Cluster.MemberIDs() {
		if id == s.MemberID() {
			continue
		}
		all.Go(func() {
			a, err := s.ask(ctx, uint64(id), question{Hash: &own.Revision})
			if err != nil || a.Hash == nil || a.Hash.CompactRevision != own.CompactRevision {
				return
			}
			mu.Lock()
			found[id] = a.Hash
			mu.Unlock()
		})
	}
	all.Wait()
	return found
}

// outvoted returns the members that have other keys than more than half of all members have. Where they differ and
// there is no such half, nobody knows who is right, and it returns nobody.
func outvoted(hashes map[types.ID]*keysHash, members int) []types.ID {
	groups := map[uint32][]types.ID{}
	for id, h := range hashes {
		groups[h.Hash] = append(groups[h.Hash], id)
	}
	if len(groups) < 2 {
		return nil
	}
	var others []types.ID
	half := false
	for _, group := range groups {
		if len(group) > members/2 {
			half = true
			continue
		}
		others = append(others, group...)
	}
	if !half {
		return []types.ID{nobody}
	}
	slices.Sort(others)
	return others
}

// doubt compares the keys of this member with those of the others, and fails if it is outvoted.
func (s *Server) doubt() error {
	members := len(s.State.Cluster.MemberIDs())
	if members < 2 {
		return nil
	}
	own, err := s.hash(s.State.KV.Rev())
	if err != nil {
		return err
	}
	wrong := outvoted(s.hashes(own), members)
	if slices.Contains(wrong, s.MemberID()) {
		return ErrCorrupt
	}
	if len(wrong) > 0 {
		s.logger.Sugar().Warnf("members have different keys at revision %d: %v", own.Revision, wrong)
	}
	return nil
}

// Accused has this member compare its keys, as an alarm says that they are wrong.
func (s *Server) Accused() {
	s.start(func() {
		err := s.doubt()
		if errors.Is(err, ErrCorrupt) {
			s.Fail(err)
		}
	})
}

// checkKeys compares the keys of all members while this one leads: from time to time, and after compactions.
func (s *Server) checkKeys() {
	now, compacted := time.NewTicker(s.options.CheckInterval), time.NewTicker(compactedInterval)
	defer now.Stop()
	defer compacted.Stop()
	checked := int64(0) // the last compaction that was
	for {
		check := s.checkNow
		select {
		case <-now.C:
		case <-compacted.C:
			check = func() ([]types.ID, error) { return s.checkCompacted(&checked) }
		case <-s.context.Done():
			return
		}
		if !s.leads() || len(s.State.Cluster.MemberIDs()) < 2 || len(s.State.Alarms(pb.AlarmType_CORRUPT)) > 0 {
			continue
		}
		wrong, err := check()
		if err != nil {
			s.logger.Sugar().Warnf("cannot compare the keys of the members: %v", err)
		}
		for _, id := range wrong {
			s.raise(s.context, id, pb.AlarmType_CORRUPT)
		}
	}
}

// checkNow compares the keys as they are, and returns who has others.
func (s *Server) checkNow() ([]types.ID, error) {
	own, err := s.hash(s.State.KV.Rev())
	if err != nil {
		return nil, err
	}
	found := s.hashes(own)
	ctx, cancel := context.WithTimeout(s.context, RequestTimeout)
	defer cancel()
	err = s.Linearize(ctx)
	if err != nil {
		return nil, err
	}
	wrong := outvoted(found, len(s.State.Cluster.MemberIDs()))
	for id, h := range found {
		if h.At > s.State.KV.Rev() && !slices.Contains(wrong, id) { // it has what was never committed
			wrong = append(wrong, id)
		}
	}
	return wrong, nil
}

// checkCompacted compares what the last compactions have found on their way through all keys, the newest of those
// first that all members have done.
func (s *Server) checkCompacted(checked *int64) ([]types.ID, error) {
	members := len(s.State.Cluster.MemberIDs())
	done := s.State.KV.HashStorage().Hashes()
	slices.SortFunc(done, func(a, b mvcc.KeyValueHash) int { return int(b.Revision - a.Revision) })
	for _, hash := range done {
		if hash.Revision <= *checked {
			return nil, nil
		}
		found := s.hashes(&keysHash{hash, hash.Revision})
		wrong := outvoted(found, members)
		if len(wrong) > 0 {
			return wrong, nil
		}
		if len(found) == members {
			*checked = hash.Revision
			return nil, nil
		}
	}
	return nil, nil
}
