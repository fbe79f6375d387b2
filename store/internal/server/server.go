// Package server is a member of a store: raft, the state that it keeps equal on all members, and what clients may
// ask of both. It knows nothing of how they ask.
package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/pkg/v3/idutil"
	"go.etcd.io/etcd/pkg/v3/notify"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3compactor"
	"go.etcd.io/etcd/server/v3/etcdserver/read"
	"go.etcd.io/raft/v3"
	"go.uber.org/zap"

	"github.com/divisi-go/divisi/store/internal/disk"
	"github.com/divisi-go/divisi/store/internal/drive"
	"github.com/divisi-go/divisi/store/internal/machine"
)

// RequestTimeout is how long a request waits for the group: a slow disk, and two elections.
const RequestTimeout = 5*time.Second + 2*drive.Election

// Options say how a member works. All of them are given; package store has the defaults.
type Options struct {
	Dir        string
	Name       string
	ClientURLs []string // where clients find this member
	PeerURL    string   // what others call it

	Quota           int64 // bytes of the database
	Reserve         int64 // bytes of the disk, for when it is full
	MaxRequestBytes int
	MaxTxnOps       int
	CompactionMode  string // "periodic" or "revision"
	Compaction      time.Duration
	CertUsers       bool // the name in a client's certificate is a user
	Tokens          string
	BcryptCost      int

	Begin     *Beginning // nil for a store of this member alone, if the folder is empty
	Transport Transport  // nil if there are no others

	// LogEntries is after how many entries the log begins anew, and LogKept how many of those before stay for members
	// that are slow. 0 is what package drive has by default.
	LogEntries, LogKept uint64
	// CheckInterval is how often the leader compares the keys of all members.
	CheckInterval time.Duration

	Logger *zap.Logger
}

// Server is a member. It works while Serve does.
type Server struct {
	State *machine.Machine

	options Options
	logger  *zap.Logger
	disk    *disk.Disk
	driver  *drive.Driver
	reads   *read.Read
	ids     *idutil.Generator

	compactor v3compactor.Compactor // nil if nothing is compacted by itself

	lead          atomic.Uint64
	leaderChanged *notify.Notifier

	context  context.Context // ends when the server does
	cancel   context.CancelCauseFunc
	ready    chan struct{} // closed when the member has said to the others who it is
	lost     chan struct{} // closed when the member was abandoned
	losing   sync.Once     // closes lost
	why      error         // valid after lost
	ended    chan struct{} // closed when Serve has returned
	mu       sync.Mutex    // guards stopped
	stopped  bool          // nothing may start any more
	running  sync.WaitGroup
	finished error // valid after ended
}

// New opens the folder of a member, which begins as the options say if it is empty.
func New(o Options) (*Server, error) {
	if o.Transport == nil {
		o.Transport = alone{}
	}
	identity := o.identity()
	d, err := disk.Open(disk.Options{Dir: o.Dir, Quota: o.Quota, Reserve: o.Reserve, Found: identity, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	if o.Begin != nil && d.Identity != identity {
		err = fmt.Errorf("cannot open %s as member %x of store %x: it belongs to member %x of store %x", o.Dir, identity.Member, identity.Cluster, d.Member, d.Cluster)
		return nil, errors.Join(err, d.Backend.Close(), d.Close())
	}
	s := &Server{
		options: o, logger: o.Logger, disk: d,
		ids:           idutil.NewGenerator(uint16(d.Member), time.Now()),
		leaderChanged: notify.NewNotifier(),
		ready:         make(chan struct{}), lost: make(chan struct{}), ended: make(chan struct{}),
	}
	s.context, s.cancel = context.WithCancelCause(context.Background())

	s.State, err = machine.New(machine.Options{
		Disk: d, Host: s, Logger: o.Logger, Quota: o.Quota, Tokens: o.Tokens, BcryptCost: o.BcryptCost,
	})
	if err != nil {
		return nil, errors.Join(err, d.Backend.Close(), d.Close())
	}
	err = s.join()
	if err != nil {
		return nil, errors.Join(err, s.State.Close(), d.Close())
	}
	s.reads = read.NewRead(readServer{s}, s.driver)
	s.State.SetCheckpointer(s.checkpointLeases)
	if o.Compaction > 0 {
		s.compactor, err = v3compactor.New(o.Logger, o.CompactionMode, o.Compaction, s.State.KV, s)
		if err != nil {
			return nil, errors.Join(err, s.State.Close(), d.Close())
		}
	}
	return s, nil
}

// join makes the driver of this member.
func (s *Server) join() error {
	origin := drive.Origin{
		ID: s.disk.Member, Snapshot: s.disk.Snapshot, State: s.disk.State, Entries: s.disk.Entries,
		Applied: s.disk.Applied, Logger: raftLogger{s.logger.Named("raft").Sugar()},
	}
	if s.disk.New {
		peers, err := s.founders()
		if err != nil {
			return err
		}
		origin.Snapshot, origin.Founders = nil, peers
	}
	core, err := drive.NewCore(origin)
	if err != nil {
		return fmt.Errorf("cannot start raft in %s: %w", s.options.Dir, err)
	}
	s.driver = drive.New(core, s.disk, s.State, s.options.Transport, s.follow)
	if s.options.LogEntries > 0 {
		s.driver.Every, s.driver.Keep = s.options.LogEntries, s.options.LogKept
	}
	return nil
}

// follow is told who leads, by the goroutine that owns raft.
func (s *Server) follow(state raft.SoftState) {
	before := s.lead.Swap(state.Lead)
	if state.Lead != raft.None && state.Lead != before {
		s.leaderChanged.Notify()
	}

	leads := state.RaftState == raft.StateLeader
	if !leads {
		s.State.Lessor.Demote()
	}
	switch {
	case s.compactor == nil:
	case leads:
		s.compactor.Resume()
	default:
		s.compactor.Pause()
	}
}

// Serve works until the context ends, or until this member cannot go on. Nothing of it is left when it returns, unless it
// was abandoned.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.cancel(ctx.Err()) })
	defer stop()

	worked := make(chan error, 1)
	go func() { worked <- s.work() }()
	select {
	case s.finished = <-worked:
	case <-s.lost:
		s.finished = s.why
		s.cancel(s.why)
	}
	close(s.ended)
	return s.finished
}

// work works until the context of the server ends, and ends all that it has started.
func (s *Server) work() error {
	if s.compactor != nil {
		s.compactor.Run()
	}
	s.start(s.reads.LinearizableReadLoop)
	s.start(s.revokeExpired)
	s.start(s.publish)
	s.start(s.followVersion)
	s.start(s.checkKeys)
	s.start(s.hurry)
	s.start(s.mindRoom)
	failed := s.driver.Serve(s.context)
	var why *failure
	if errors.As(context.Cause(s.context), &why) {
		failed = errors.Join(why.error, failed)
	}

	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.cancel(failed)
	s.running.Wait()
	if s.compactor != nil {
		s.compactor.Stop()
	}
	if failed == nil || errors.Is(failed, ErrRemoved) || errors.Is(failed, ErrCorrupt) {
		failed = errors.Join(failed, s.State.Close(), s.disk.Close())
	}
	return failed
}

// start runs f as a part of the server, which ends when the context of the server does.
func (s *Server) start(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.running.Go(f)
	}
}

// hurry lets a member that is the only voter lead at once.
func (s *Server) hurry() {
	status, err := s.driver.Status(s.context)
	if err == nil && len(status.Config.Voters.IDs()) == 1 {
		_ = s.driver.HurryElection(s.context)
	}
}

// Stop ends the server, and returns when Serve has. A leader hands over before.
func (s *Server) Stop() error {
	s.handOver()
	s.cancel(context.Canceled)
	<-s.ended
	return s.finished
}

// handOver lets the voter lead that has most of the log, so that nobody has to wait for an election.
func (s *Server) handOver() {
	ctx, cancel := context.WithTimeout(s.context, drive.Election)
	defer cancel()
	status, err := s.driver.Status(ctx)
	if err != nil {
		return
	}
	next, match := raft.None, uint64(0)
	for id, progress := range status.Progress { // which a leader has
		if id != s.disk.Member && !progress.IsLearner && progress.RecentActive && progress.Match >= match {
			next, match = id, progress.Match
		}
	}
	if next != raft.None {
		_ = s.MoveLeader(ctx, next)
	}
}

// Fail ends the server for a reason that is not its own.
func (s *Server) Fail(err error) { s.cancel(&failure{err}) }

// Abandon ends the server at once: a goroutine of it has ended in the middle of its work, and others may wait for ever for what
// it has locked. The process has the folder until it ends.
func (s *Server) Abandon(err error) {
	s.losing.Do(func() {
		s.why = err
		close(s.lost)
	})
}

// Abandoned is closed when the server was abandoned: what was asked of it may have no answer, ever.
func (s *Server) Abandoned() <-chan struct{} { return s.lost }

// failure is why a server ends that could go on.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

// Ready is closed when the member serves.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Ended is closed when the member has ended.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Options returns how the member works.
func (s *Server) Options() Options { return s.options }

// Logger returns where the member logs.
func (s *Server) Logger() *zap.Logger { return s.logger }

// MemberID returns the identity of this member.
func (s *Server) MemberID() types.ID { return types.ID(s.disk.Member) }

// ClusterID returns the identity of the store.
func (s *Server) ClusterID() types.ID { return types.ID(s.disk.Cluster) }

// Leader returns who leads, 0 for nobody.
func (s *Server) Leader() types.ID { return types.ID(s.lead.Load()) }

// CommittedIndex returns the index of the last entry that is known to be committed.
func (s *Server) CommittedIndex() uint64 { return s.driver.Commit() }

// AppliedIndex returns the index of the last entry that is applied.
func (s *Server) AppliedIndex() uint64 { return s.State.Applied() }

// Term returns the term of raft.
func (s *Server) Term() uint64 { return s.driver.Term() }

// Alarms returns the alarms that are on.
func (s *Server) Alarms() []*pb.AlarmMember { return s.State.Alarms(pb.AlarmType_NONE) }

func (s *Server) leads() bool { return s.Leader() == s.MemberID() }

// ensureLeads says whether this member leads for certain. One that stood still asks the others.
func (s *Server) ensureLeads(ctx context.Context) bool {
	if s.driver.Active() {
		return s.leads()
	}
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	err := s.reads.LinearizableReadNotify(ctx)
	return err == nil && s.leads()
}

// readServer is what the loop of linearizable reads wants to know.
type readServer struct{ *Server }

func (s readServer) LeaderChanged() <-chan struct{}           { return s.leaderChanged.Receive() }
func (s readServer) Stopping() <-chan struct{}                { return s.context.Done() }
func (s readServer) ApplyWait(index uint64) <-chan struct{}   { return s.State.Reached.Wait(index) }
func (s readServer) NextRequestID() uint64                    { return s.ids.Next() }
func (s readServer) RequestTimeout() time.Duration            { return RequestTimeout }
func (s readServer) FirstCommitInTermNotify() <-chan struct{} { return s.State.FirstCommit.Receive() }
func (s readServer) Done() <-chan struct{}                    { return s.context.Done() }

// raftLogger logs what raft says.
type raftLogger struct{ *zap.SugaredLogger }

func (l raftLogger) Warning(v ...any)            { l.Warn(v...) }
func (l raftLogger) Warningf(f string, v ...any) { l.Warnf(f, v...) }
