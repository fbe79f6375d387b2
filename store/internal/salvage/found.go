package salvage

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/divisi-go/divisi/store/internal/disk"
)

// peerURL is what a member is called that has no others.
const peerURL = "http://localhost:2380"

// unpack writes the database of a snapshot to a path. A snapshot has its check sum behind it, which no database has: it
// consists of whole pages.
func unpack(snapshot, path string, unsummed bool) error {
	from, err := os.Open(snapshot)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	summed := size%512 == sha256.Size
	switch {
	case summed:
		size -= sha256.Size
	case !unsummed:
		return errors.New("it has no check sum: it is no snapshot, or not all of it; a copy of a database is taken with --skip-hash-check")
	}

	to, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileutil.PrivateFileMode)
	if err != nil {
		return err
	}
	defer to.Close()
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(to, sum), from, size)
	if err != nil {
		return err
	}
	said, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	if summed && !unsummed && !bytes.Equal(said, sum.Sum(nil)) {
		return errors.New("its check sum is wrong: it is damaged")
	}
	err = fileutil.Fsync(to)
	if err != nil {
		return err
	}
	return readable(path)
}

// readable fails when a file is no database of etcd's.
func readable(path string) error {
	db, err := bolt.Open(path, fileutil.PrivateFileMode, &bolt.Options{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("it is no database: %w", err)
	}
	return errors.Join(db.View(func(tx *bolt.Tx) error {
		if tx.Bucket(schema.Key.Name()) == nil {
			return errors.New("it is a database of something else")
		}
		return nil
	}), db.Close())
}

// found makes a store with one member of the database in a folder.
func (o Options) found(c config.ServerConfig) (Result, error) {
	identity := disk.NewIdentity()
	member := &membership.Member{
		ID: types.ID(identity.Member), RaftAttributes: membership.RaftAttributes{PeerURLs: []string{peerURL}},
		Attributes: membership.Attributes{Name: o.Name},
	}
	group := &raftpb.ConfState{Voters: []uint64{identity.Member}}
	made := Result{Cluster: identity.Cluster}

	b := backend.NewDefaultBackend(o.Logger, c.BackendPath())
	made.Kept, made.Newest = o.skip(b.BatchTx())
	members := schema.NewMembershipBackend(o.Logger, b)
	err := members.TrimMembershipFromBackend()
	if err == nil {
		cluster := membership.NewCluster(o.Logger)
		cluster.SetID(member.ID, types.ID(identity.Cluster))
		cluster.SetBackend(members)
		cluster.AddMember(member, membership.ApplyBoth)
		tx := b.BatchTx()
		tx.LockOutsideApply()
		schema.UnsafeUpdateConsistentIndexForce(tx, 1, 1)
		schema.MustUnsafeSaveConfStateToBackend(o.Logger, tx, group)
		tx.Unlock()
	}
	err = errors.Join(err, b.Close())
	if err != nil {
		return made, err
	}
	return made, o.begin(c, identity, member, group)
}

// begin writes a log that begins with the member.
func (o Options) begin(c config.ServerConfig, identity disk.Identity, member *membership.Member, group *raftpb.ConfState) error {
	metadata, err := proto.Marshal(&pb.Metadata{NodeID: &identity.Member, ClusterID: &identity.Cluster})
	if err != nil {
		return err
	}
	said, err := json.Marshal(member)
	if err != nil {
		return err
	}
	change, err := proto.Marshal(&raftpb.ConfChange{
		Type: raftpb.ConfChangeAddNode.Enum(), NodeId: &identity.Member, Context: said,
	})
	if err != nil {
		return err
	}
	log, err := wal.Create(o.Logger, c.WALDir(), metadata)
	if err != nil {
		return err
	}

	first := new(uint64(1))
	entry := &raftpb.Entry{Type: raftpb.EntryConfChange.Enum(), Term: first, Index: first, Data: change}
	steps := []func() error{
		func() error {
			return log.Save(&raftpb.HardState{Term: first, Vote: &identity.Member, Commit: first}, []*raftpb.Entry{entry})
		},
		func() error {
			return snap.New(o.Logger, c.SnapDir()).SaveSnap(&raftpb.Snapshot{
				Metadata: &raftpb.SnapshotMetadata{Index: first, Term: first, ConfState: group},
			})
		},
		func() error { return log.SaveSnapshot(&walpb.Snapshot{Index: first, Term: first, ConfState: group}) },
		func() error { return syncDir(c.SnapDir()) },
		func() error { return syncDir(filepath.Dir(c.SnapDir())) },
	}
	for _, step := range steps {
		err = step()
		if err != nil {
			break
		}
	}
	return errors.Join(err, log.Close())
}

// skip leaves revisions out, and marks what was before as compacted. It returns the newest revision before and after.
func (o Options) skip(tx backend.BatchTx) (kept, newest int64) {
	tx.LockOutsideApply()
	defer tx.Unlock()
	kept = newestRevision(tx)
	if o.Skip == 0 {
		return kept, kept
	}
	newest = kept + o.Skip
	tx.UnsafePut(schema.Key, mvcc.RevToBytes(mvcc.Revision{Main: newest}, mvcc.NewRevBytes()), []byte{})
	mvcc.UnsafeSetScheduledCompact(tx, newest)
	return kept, newest
}

// newestRevision returns the newest revision of a database. Where that was a deletion that is compacted, no key has it
// any more.
func newestRevision(tx backend.UnsafeReader) int64 {
	newest := int64(1)
	_ = tx.UnsafeForEach(schema.Key, func(key, _ []byte) error {
		newest = max(newest, mvcc.BytesToRev(key).Main)
		return nil
	})
	scheduled, _ := mvcc.UnsafeReadScheduledCompact(tx)
	finished, _ := mvcc.UnsafeReadFinishedCompact(tx)
	return max(newest, scheduled, finished)
}

// nobody is a member that applies a log without a group.
type nobody struct{ id uint64 }

func (n nobody) MemberID() types.ID   { return types.ID(n.id) }
func (nobody) Leader() types.ID       { return 0 }
func (nobody) CommittedIndex() uint64 { return 0 }
func (nobody) AppliedIndex() uint64   { return 0 }
func (nobody) Term() uint64           { return 0 }
func (nobody) FullSoon(then func())   { then() }
func (nobody) Removed()               {}
func (nobody) Accused()               {}
