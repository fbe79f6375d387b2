// Package machine is the state of a member: keys, leases, users, alarms and members. All of it is etcd's; what is
// here applies entries of the log to it, in order and once.
//
// What must hold:
//
//   - An entry is applied once. Its index is on the disk in the same transaction as what it has changed, and those
//     up to that index are never given to a machine again.
//   - What an entry does depends on the entries before it only: not on the clock, on settings, or on what was
//     compacted here.
//   - Every entry moves the index, whether it has changed something or was refused.
//   - The lessor is recovered before the keys, which find their leases in it.
package machine

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/pkg/v3/notify"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/pkg/v3/wait"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/etcdserver/api"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3alarm"
	"go.etcd.io/etcd/server/v3/etcdserver/apply"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"github.com/divisi-go/divisi/store/internal/disk"
	"github.com/divisi-go/divisi/store/internal/drive"
)

const (
	// checkpointInterval is how often the rest of long leases is written, so that they end although leaders change.
	checkpointInterval = 5 * time.Minute

	tokenLife      = 5 * time.Minute
	expiredRetry   = 5 * time.Second // until a lease that has expired is tried again
	maxLearners    = 2
	warnApplyAfter = 100 * time.Millisecond
)

// Host is what a machine wants of the member it belongs to.
type Host interface {
	apply.RaftStatusGetter
	// FullSoon is called when an entry was refused for want of space; then is called when the alarm is in the log.
	FullSoon(then func())
	// Removed is called when this member is none any more.
	Removed()
	// Accused is called when an alarm says that this member has other keys than the others.
	Accused()
}

// Options say how a machine is made.
type Options struct {
	Disk   *disk.Disk
	Host   Host
	Logger *zap.Logger

	Quota      int64
	Tokens     string // "simple", or as etcd's --auth-token says it
	BcryptCost int
}

// Machine is the state. What has exported fields is safe for use by many goroutines; the rest belongs to the
// goroutine that applies.
type Machine struct {
	KV      mvcc.WatchableKV
	Lessor  lease.Lessor
	Auth    auth.AuthStore
	Cluster *membership.RaftCluster

	// Waiting is who waits for the result of a request; Reached is who waits for an index to be applied.
	Waiting wait.Wait
	Reached wait.WaitTime
	// FirstCommit tells that the first entry of a term is applied, VersionChanged that the members agree on another
	// version of the API.
	FirstCommit    *notify.Notifier
	VersionChanged *notify.Notifier

	disk   *disk.Disk
	host   Host
	logger *zap.Logger
	quota  int64

	mu      sync.RWMutex // guards the next two, which another state replaces
	backend backend.Backend
	alarms  *v3alarm.AlarmStore

	uber    apply.UberApplier
	group   *raftpb.ConfState
	applied atomic.Uint64
	term    atomic.Uint64
}

// New returns the state that a folder has.
func New(o Options) (*Machine, error) {
	m := &Machine{
		Waiting: wait.New(), Reached: wait.NewTimeList(),
		FirstCommit: notify.NewNotifier(), VersionChanged: notify.NewNotifier(),
		disk: o.Disk, host: o.Host, logger: o.Logger, quota: o.Quota, backend: o.Disk.Backend,
		group: &raftpb.ConfState{},
	}
	if o.Disk.Snapshot != nil {
		m.group = o.Disk.Snapshot.Metadata.ConfState
	}
	m.applied.Store(o.Disk.Applied)
	m.term.Store(o.Disk.State.GetTerm())
	m.Reached.Trigger(o.Disk.Applied)

	m.Cluster = membership.NewCluster(o.Logger, membership.WithMaxLearners(maxLearners))
	m.Cluster.SetID(types.ID(o.Disk.Member), types.ID(o.Disk.Cluster))
	m.Cluster.SetVersionChangedNotifier(m.VersionChanged)
	m.Cluster.SetBackend(schema.NewMembershipBackend(o.Logger, m.backend))
	m.Cluster.Recover(api.UpdateCapability)

	m.Lessor = lease.NewLessor(o.Logger, m.backend, m.Cluster, lease.LessorConfig{
		MinLeaseTTL:                int64(math.Ceil((3 * drive.Election / 2).Seconds())),
		CheckpointInterval:         checkpointInterval,
		CheckpointPersist:          true,
		ExpiredLeasesRetryInterval: expiredRetry,
	})
	said := o.Logger
	if o.Tokens == "simple" {
		said = zap.NewNop() // that they are not signed is all that is said of such tokens, at every start
	}
	tokens, err := auth.NewTokenProvider(said, o.Tokens, m.Reached.Wait, tokenLife)
	if err != nil {
		m.Lessor.Stop()
		return nil, err
	}
	m.KV = mvcc.New(o.Logger, m.backend, m.Lessor, mvcc.StoreConfig{})
	m.Auth = auth.NewAuthStore(o.Logger, schema.NewAuthBackend(o.Logger, m.backend), tokens, o.BcryptCost)
	err = m.restoreAlarms()
	if err != nil {
		m.Close()
		return nil, err
	}
	m.uber = m.newApplier()
	m.backend.SetTxPostLockInsideApplyHook(m.moveIndex)
	return m, nil
}

// newApplier returns etcd's chain of appliers, which is made for one state.
func (m *Machine) newApplier() apply.UberApplier {
	return apply.NewUberApplier(apply.ApplierOptions{
		Logger:                       m.logger,
		KV:                           m.KV,
		AlarmStore:                   m.alarms,
		AuthStore:                    m.Auth,
		Lessor:                       m.Lessor,
		Cluster:                      m.Cluster,
		RaftStatus:                   m.host,
		SnapshotServer:               noSnapshots{},
		ConsistentIndex:              m.disk.Index,
		TxnModeWriteWithSharedBuffer: true,
		Backend:                      m.backend,
		QuotaBackendBytesCfg:         m.quota,
		WarningApplyDuration:         warnApplyAfter,
	})
}

// noSnapshots is asked for a snapshot when a downgrade begins, for versions of etcd that read one at their start.
type noSnapshots struct{}

func (noSnapshots) ForceSnapshot() {}

func (m *Machine) restoreAlarms() error {
	alarms, err := v3alarm.NewAlarmStore(m.logger, schema.NewAlarmBackend(m.logger, m.backend))
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.alarms = alarms
	m.mu.Unlock()
	return nil
}

// moveIndex is called inside the transaction of an entry that changes something, so that the index is never ahead of
// what it stands for.
func (m *Machine) moveIndex() {
	index, term := m.disk.Index.ConsistentApplyingIndex()
	if index > m.disk.Index.UnsafeConsistentIndex() {
		m.disk.Index.SetConsistentIndex(index, term)
	}
}

// Backend returns the database, until another state is installed.
func (m *Machine) Backend() backend.Backend {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.backend
}

// UseBackend calls f with the database, which is not replaced meanwhile.
func (m *Machine) UseBackend(f func(backend.Backend) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return f(m.backend)
}

// Defragment writes the database anew without its gaps. Nothing else is done meanwhile.
func (m *Machine) Defragment() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.backend.Defrag()
}

// Alarms returns the alarms of a type; AlarmType_NONE stands for all.
func (m *Machine) Alarms(of pb.AlarmType) []*pb.AlarmMember {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.alarms.Get(of)
}

// Applied returns the index of the last entry that is applied, Term its term.
func (m *Machine) Applied() uint64 { return m.applied.Load() }

// Term returns the term of the last entry that is applied.
func (m *Machine) Term() uint64 { return m.term.Load() }

// SetCheckpointer says how the rest of long leases comes into the log.
func (m *Machine) SetCheckpointer(propose func(context.Context, *pb.LeaseCheckpointRequest) error) {
	m.Lessor.SetCheckpointer(propose)
}

// Snapshot opens the state as it is, at the index that is applied.
func (m *Machine) Snapshot() (*raftpb.SnapshotMetadata, drive.Database, error) {
	meta := m.Commit()
	return meta, m.backend.Snapshot(), nil
}

// Commit returns when what is applied is on the disk.
func (m *Machine) Commit() *raftpb.SnapshotMetadata {
	m.KV.Commit()
	index, term := m.applied.Load(), m.term.Load()
	return &raftpb.SnapshotMetadata{Index: &index, Term: &term, ConfState: m.group}
}

// Install takes the state of another member. Its order is what etcd has learned: what is derived from the state is
// made anew before anybody is told of the index.
func (m *Machine) Install(snapshot *raftpb.Snapshot) error {
	next, err := m.disk.Install(snapshot)
	if err != nil {
		return err
	}
	m.disk.Index.SetBackend(next) // the next commit would write the old index otherwise
	if has, said := m.disk.Index.ConsistentIndex(), snapshot.GetMetadata().GetIndex(); has != said {
		return fmt.Errorf("cannot install the state of entry %d: its database says that it is of entry %d", said, has)
	}
	m.Lessor.Recover(next, func() lease.TxnDelete { return m.KV.Write(traceutil.TODO()) })
	err = m.KV.Restore(next)
	if err != nil {
		return err
	}
	next.SetTxPostLockInsideApplyHook(m.moveIndex)

	m.mu.Lock()
	before := m.backend
	m.backend = next
	m.mu.Unlock()
	go before.Close() // it waits for whoever still reads it

	err = m.restoreAlarms()
	if err != nil {
		return err
	}
	m.Auth.Recover(schema.NewAuthBackend(m.logger, next))
	m.Cluster.SetBackend(schema.NewMembershipBackend(m.logger, next))
	m.Cluster.Recover(api.UpdateCapability)
	m.uber = m.newApplier()

	m.group = snapshot.Metadata.ConfState
	m.reach(snapshot.Metadata.GetIndex(), snapshot.Metadata.GetTerm())
	return nil
}

// reach publishes what is applied.
func (m *Machine) reach(index, term uint64) {
	m.applied.Store(index)
	m.term.Store(term)
	m.Reached.Trigger(index)
}

// Close ends everything that the state has running, and closes the database.
func (m *Machine) Close() error {
	m.Lessor.Stop()
	_ = m.KV.Close()
	if m.Auth != nil {
		_ = m.Auth.Close()
	}
	return m.backend.Close()
}
