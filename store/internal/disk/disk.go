// Package disk is the data folder of a member, laid out as etcd's:
//
//	member/wal/        the log: everything that raft has accepted, in segments with a chain of check sums
//	member/snap/       db, the state, and what other members have sent of theirs
//	reserve            room for what makes room when the disk is full
//
// A folder of etcd v3.7 can be opened, and etcd opens what is left here.
package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/etcdserver/cindex"
	"go.etcd.io/etcd/server/v3/storage"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// keptFiles is how many released segments and states of others stay; purgeInterval is how often the rest goes.
const (
	keptFiles     = 5
	purgeInterval = 30 * time.Second
)

// Aside is where a store is made that is not served yet; Former is where the member waits meanwhile that it replaces.
const (
	Aside  = "making"
	Former = "member.former"
)

// Identity says which member of which store a folder belongs to, for ever.
type Identity struct{ Member, Cluster uint64 }

// NewIdentity returns an identity that nobody has or had: neither member nor store is ever there twice.
func NewIdentity() Identity {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it does not fail
	return Identity{
		Member:  binary.BigEndian.Uint64(random[:8]),
		Cluster: binary.BigEndian.Uint64(random[8:]),
	}
}

// Disk is an open folder.
type Disk struct {
	Identity
	// New says that nothing was ever accepted here.
	New bool

	// What raft begins with.
	Snapshot *raftpb.Snapshot // with the group as it is in the state
	State    *raftpb.HardState
	Entries  []*raftpb.Entry
	Applied  uint64 // the last entry that the state has

	// Backend is the state when the folder was opened; Index and Hooks write the index of the last applied entry
	// in the same transaction as what it has changed.
	Backend   backend.Backend
	Index     cindex.ConsistentIndexer
	Hooks     *storage.BackendHooks
	Snapshots *snap.Snapshotter
	Reserve   *Reserve

	config config.ServerConfig
	log    storage.Storage
	stop   chan struct{} // closed by Close
	purged []<-chan struct{}
}

// Options are what a folder is opened with.
type Options struct {
	Dir     string
	Quota   int64    // bytes that the state may have; decides how much of the address space is taken for it
	Reserve int64    // bytes that a full disk still has for deleting and compacting
	Found   Identity // of the member, if the folder has none
	Logger  *zap.Logger
}

// Open opens a folder, and makes it where there is none. It fails when another process has it, and when the log is
// damaged at another place than its end: nothing is ever repaired that could have been promised to somebody.
func Open(o Options) (*Disk, error) {
	d := &Disk{
		config: config.ServerConfig{
			DataDir: o.Dir, QuotaBackendBytes: o.Quota, Logger: o.Logger,
			BackendFreelistType: "hashmap", // of the two the one that stays fast in a large database
		},
		Reserve: newReserve(o.Dir, o.Reserve),
		stop:    make(chan struct{}),
	}
	err := d.prepare()
	if err != nil {
		return nil, err
	}

	d.Snapshots = snap.New(o.Logger, d.config.SnapDir())
	d.Index = cindex.NewConsistentIndex(nil)
	d.Hooks = storage.NewBackendHooks(o.Logger, d.Index)
	existed := fileutil.Exist(d.config.BackendPath())
	d.Backend = storage.OpenBackend(d.config, d.Hooks)
	d.Index.SetBackend(d.Backend)
	schema.CreateMetaBucket(d.Backend.BatchTx())

	err = d.openLog(o.Found, existed)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the store in %s: %w", o.Dir, err), d.Backend.Close())
	}
	d.purge()
	return d, nil
}

// prepare makes the folders, and sees that nobody else has them.
func (d *Disk) prepare() error {
	if !fileutil.Exist(d.config.MemberDir()) && fileutil.Exist(filepath.Join(d.config.DataDir, Former)) {
		return fmt.Errorf("cannot open the store in %s: a recovery of it was cut short: run divisi store recover again", d.config.DataDir)
	}
	for _, dir := range []string{d.config.DataDir, d.config.MemberDir(), d.config.SnapDir()} {
		err := d.makeFolder(dir)
		if err != nil {
			return fmt.Errorf("cannot open the store in %s: %w", d.config.DataDir, err)
		}
	}

	// Half a state of another member is of no use.
	err := fileutil.RemoveMatchFile(d.config.Logger, d.config.SnapDir(), func(name string) bool {
		return strings.HasPrefix(name, "tmp")
	})
	if err != nil {
		return fmt.Errorf("cannot open the store in %s: %w", d.config.DataDir, err)
	}

	release, err := Hold(d.config.DataDir)
	if err != nil {
		return fmt.Errorf("cannot open the store in %s: %w", d.config.DataDir, err)
	}
	release()

	// On a disk that is full, what follows could not be written.
	_, err = d.Reserve.Full()
	if err != nil {
		d.config.Logger.Sugar().Warn(err)
	}
	return nil
}

// Hold keeps others from opening the database of a folder until release is called. It fails when another process has
// it, or another store of this one: to open it would wait for that.
func Hold(dir string) (release func(), err error) {
	f, err := os.OpenFile((&config.ServerConfig{DataDir: dir}).BackendPath(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		_ = f.Close()
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.New("another process has it: stop that, or choose another folder")
	}
	return func() { _ = f.Close() }, err
}

// makeFolder makes a folder, and those that it is in. They are still there when the machine has lost its power.
func (d *Disk) makeFolder(path string) error {
	parent := filepath.Dir(path)
	if !fileutil.Exist(parent) {
		err := d.makeFolder(parent)
		if err != nil {
			return err
		}
	}
	err := fileutil.TouchDirAll(d.config.Logger, path)
	if err != nil {
		return err
	}
	err = syncFolder(parent)
	if errors.Is(err, fs.ErrPermission) {
		return nil // somebody else has made the folder
	}
	return err
}

// syncFolder returns when the names in a folder are on the disk.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *Disk) openLog(found Identity, existed bool) error {
	if !wal.Exist(d.config.WALDir()) {
		return d.createLog(found, existed)
	}

	err := checkEnd(d.config.WALDir())
	if err != nil {
		return damaged(err)
	}
	newest, err := d.newestCheckpoint()
	if err != nil {
		return damaged(err)
	}
	if newest != nil {
		d.Backend, err = storage.RecoverSnapshotBackend(d.config, d.Backend, newest, existed, d.Hooks)
		if err != nil {
			return err
		}
		d.Index.SetBackend(d.Backend)
	}
	if d.Index.ConsistentIndex() > 0 {
		err = schema.Validate(d.config.Logger, d.Backend.ReadTx())
		if err != nil {
			return err
		}
	}
	d.Snapshot = newest
	return d.readLog()
}

// createLog begins a log. The state of a store whose log is gone is no beginning: what was promised after it is
// not known.
func (d *Disk) createLog(found Identity, existed bool) error {
	if existed && d.Index.ConsistentIndex() > 0 {
		return errors.New("there is a state, and no log: restore a snapshot into a new folder")
	}
	d.Identity, d.New = found, true
	metadata, err := proto.Marshal(&etcdserverpb.Metadata{NodeID: &found.Member, ClusterID: &found.Cluster})
	if err != nil {
		return err
	}
	log, err := wal.Create(d.config.Logger, d.config.WALDir(), metadata)
	if err != nil {
		return err
	}
	err = syncFolder(d.config.WALDir()) // the name of the first segment
	if err != nil {
		return errors.Join(err, log.Close())
	}
	d.log = storage.NewStorage(d.config.Logger, log, d.Snapshots)
	return nil
}

// newestCheckpoint returns the last one that the log has, nil if it has none.
func (d *Disk) newestCheckpoint() (*raftpb.Snapshot, error) {
	list, err := wal.ValidSnapshotEntries(d.config.Logger, d.config.WALDir())
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, nil
	}
	last := list[len(list)-1]
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Term: last.Term, Index: last.Index, ConfState: last.ConfState,
	}}, nil
}

func (d *Disk) readLog() error {
	var from walpb.Snapshot
	if d.Snapshot != nil {
		from.Index, from.Term = d.Snapshot.Metadata.Index, d.Snapshot.Metadata.Term
	}
	log, metadata, err := d.readAll(&from)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		// The last record was on its way to the disk when the process or the machine ended; nobody was told of it.
		if !wal.Repair(d.config.Logger, d.config.WALDir()) {
			return errors.New("the log ends in the middle of a record, and cannot be cut there")
		}
		log, metadata, err = d.readAll(&from)
	}
	if err != nil {
		return damaged(err)
	}
	d.log = storage.NewStorage(d.config.Logger, log, d.Snapshots)

	var identity etcdserverpb.Metadata
	err = proto.Unmarshal(metadata, &identity)
	if err != nil {
		return fmt.Errorf("the log does not say whose it is: %w", err)
	}
	d.Identity = Identity{Member: identity.GetNodeID(), Cluster: identity.GetClusterID()}
	d.New = d.Snapshot == nil && len(d.Entries) == 0
	return d.reconcile(from.GetIndex())
}

func damaged(err error) error {
	return fmt.Errorf("the log is damaged: %w: replace this member, or restore a snapshot into a new folder", err)
}

func (d *Disk) readAll(from *walpb.Snapshot) (*wal.WAL, []byte, error) {
	log, err := wal.Open(d.config.Logger, d.config.WALDir(), from)
	if err != nil {
		return nil, nil, err
	}
	metadata, state, entries, err := log.ReadAll()
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	d.State, d.Entries = state, entries
	return log, metadata, nil
}

// reconcile brings log and state together. The state has only entries that were committed and on this disk, so they
// are committed, also where the log does not say so yet, and are not applied again.
func (d *Disk) reconcile(first uint64) error {
	d.Applied = d.Index.ConsistentIndex()
	last := first + uint64(len(d.Entries))
	if d.Applied > last {
		return fmt.Errorf("the state has entry %d, and the log ends with %d: restore a snapshot into a new folder", d.Applied, last)
	}
	if d.State.GetCommit() < d.Applied {
		d.State = &raftpb.HardState{Term: d.State.Term, Vote: d.State.Vote, Commit: &d.Applied}
	}

	if d.Snapshot == nil {
		d.Snapshot = &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(0)), Term: new(uint64(0))}}
	}
	d.Snapshot.Metadata.ConfState = d.group()
	return nil
}

// group returns the members that the state has.
func (d *Disk) group() *raftpb.ConfState {
	members, _ := schema.NewMembershipBackend(d.config.Logger, d.Backend).MustReadMembersFromBackend()
	group := &raftpb.ConfState{}
	for _, m := range members {
		if m.IsLearner {
			group.Learners = append(group.Learners, uint64(m.ID))
		} else {
			group.Voters = append(group.Voters, uint64(m.ID))
		}
	}
	return group
}

// purge removes what is not needed any more, until Close.
func (d *Disk) purge() {
	start := func(dir, suffix string) {
		done, failed := fileutil.PurgeFileWithDoneNotify(d.config.Logger, dir, suffix, keptFiles, purgeInterval, d.stop)
		d.purged = append(d.purged, done)
		go func() {
			select {
			case err := <-failed:
				d.config.Logger.Error("cannot remove old files", zap.String("dir", dir), zap.Error(err))
			case <-done:
			}
		}()
	}
	start(d.config.WALDir(), "wal")
	start(d.config.SnapDir(), "snap")
}

// Append writes to the log; it is on the disk when it returns. A snapshot is that of another member, whose state
// was received before (Receive).
func (d *Disk) Append(snapshot *raftpb.Snapshot, state *raftpb.HardState, entries []*raftpb.Entry) error {
	if snapshot == nil {
		return d.failed(d.log.Save(orEmpty(state), entries))
	}

	// The file, its record, and what raft says of it, all of it on the disk before anything older is let go.
	steps := []func() error{
		func() error { return d.log.SaveSnap(snapshot) },
		func() error { return d.log.Save(orEmpty(state), entries) },
		d.log.Sync,
		func() error { return d.log.Release(snapshot) },
	}
	for _, step := range steps {
		err := step()
		if err != nil {
			return d.failed(err)
		}
	}
	return nil
}

func orEmpty(state *raftpb.HardState) *raftpb.HardState {
	if state == nil {
		return &raftpb.HardState{}
	}
	return state
}

func (d *Disk) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot write the log in %s: %w", d.config.WALDir(), err)
}

// Checkpoint notes that the state has all entries up to an index on the disk, so older ones may go.
func (d *Disk) Checkpoint(meta *raftpb.SnapshotMetadata) error {
	// The state may have got its name since: when it was made, installed, or written anew without gaps.
	err := syncFolder(d.config.SnapDir())
	if err != nil {
		return d.failed(err)
	}
	snapshot := &raftpb.Snapshot{Metadata: meta}
	err = d.log.SaveSnap(snapshot)
	if err == nil {
		err = d.log.Release(snapshot)
	}
	return d.failed(err)
}

// Receive keeps the state of another member as of an index, before raft is told of it.
func (d *Disk) Receive(r io.Reader, index uint64) error {
	_, err := d.Snapshots.SaveDBFrom(r, index)
	return err
}

// Install opens the state of another member that was received.
func (d *Disk) Install(snapshot *raftpb.Snapshot) (backend.Backend, error) {
	return storage.OpenSnapshotBackend(d.config, d.Snapshots, snapshot, d.Hooks)
}

// Version says which versions of etcd understand the log.
func (d *Disk) Version() wal.Version { return d.log }

// Close closes the log. Whoever has the state closes that.
func (d *Disk) Close() error {
	close(d.stop)
	for _, done := range d.purged {
		<-done
	}
	return d.log.Close()
}
