package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/memfd"
	"github.com/divisi-go/divisi/internal/place"
	"github.com/divisi-go/divisi/internal/replica"
	"github.com/divisi-go/divisi/internal/rollout"
	"github.com/divisi-go/divisi/internal/roster"
	"github.com/divisi-go/divisi/internal/session"
	"github.com/divisi-go/divisi/internal/whole"
)

// LastingKeeper is a keeper that outlives its clients.
type LastingKeeper interface {
	Keeper
	List(ctx context.Context, domain string) ([]keeper.Proc, error)
	Sockets(ctx context.Context, domain string) ([]keeper.Socket, error)
	Unlisten(ctx context.Context, domain, key string) error
	Fenced(context.Context) error
}

// Succession is a launcher whose processes outlive it, if the claim lets them: they dial a socket, on which
// each deployer listens in the place of the one before. It implements [deployer.Succession].
type Succession struct {
	*Launcher
	keeper   LastingKeeper
	versions *roster.Roster
	failures string // file
	listener *net.UnixListener
}

var (
	_ deployer.Launcher   = (*Succession)(nil)
	_ deployer.Succession = (*Succession)(nil)
)

// NewSuccession returns a launcher that listens on the socket of a domain, and whose processes outlive the
// claim, or do not.
func NewSuccession(k LastingKeeper, stays bool, d home.Domain) (*Succession, error) {
	records, err := roster.Open(d.Versions)
	if err != nil {
		return nil, err
	}
	// The processes dial a path: whoever has bound it last is reached.
	next := d.Deployer + "~" + strconv.Itoa(os.Getpid())
	_ = os.Remove(next)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: next})
	if err != nil {
		return nil, fmt.Errorf("no process could reach this deployer: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	if err := os.Rename(next, d.Deployer); err != nil {
		return nil, errors.Join(err, listener.Close(), os.Remove(next))
	}

	l := &Launcher{keeper: k, domain: d.Path, socket: d.Deployer, stays: stays}
	return &Succession{Launcher: l, keeper: k, versions: records, failures: d.Failures, listener: listener}, nil
}

// Close has nobody reach this deployer any more. If nothing is left in the domain, the keeper closes its
// listening sockets.
func (s *Succession) Close() error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil // with the context of Accept
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	left, failed := s.keeper.List(ctx, s.domain)
	switch {
	case errors.Is(failed, keeper.ErrFenced), errors.Is(failed, keeper.ErrClosed), failed == nil && len(left) > 0:
		return err
	case failed == nil:
		failed = s.closeSockets(ctx)
	}
	return errors.Join(err, failed)
}

// closeTime bounds how long a keeper is asked to close what nobody needs.
const closeTime = 2 * time.Second

func (s *Succession) closeSockets(ctx context.Context) error {
	sockets, err := s.keeper.Sockets(ctx, s.domain)
	if err != nil {
		return err
	}
	for _, socket := range sockets {
		err = errors.Join(err, s.keeper.Unlisten(ctx, socket.Domain, socket.Key))
	}
	return err
}

// Accept implements [deployer.Succession].
func (s *Succession) Accept(ctx context.Context) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	return s.listener.Accept()
}

// Epoch implements [deployer.Succession].
func (s *Succession) Epoch() uint64 { return s.keeper.Holder().Epoch }

// Succeeded implements [deployer.Succession].
func (s *Succession) Succeeded(ctx context.Context) error {
	err := s.keeper.Fenced(ctx)
	switch {
	case errors.Is(err, keeper.ErrFenced):
		return err
	case errors.Is(err, keeper.ErrClosed) && ctx.Err() == nil:
		return fmt.Errorf("what it had started has been killed: %w", err)
	}
	// A keeper that does not know this question refuses changes instead.
	<-ctx.Done()
	return context.Cause(ctx)
}

const (
	// startingTime bounds the wait for a process that the keeper was starting when the domain was claimed.
	startingTime = 5 * time.Second
	startingPoll = 10 * time.Millisecond
)

// Running implements [deployer.Succession].
func (s *Succession) Running(ctx context.Context) ([]deployer.Running, error) {
	list, err := s.list(ctx)
	if err != nil {
		return nil, err
	}

	if len(list) == 0 {
		return nil, errors.Join(s.closeSockets(ctx), s.tidy(nil))
	}

	first := map[string]uint64{} // the number of the first start of a version
	for _, p := range list {
		if born, ok := first[p.Digest]; !ok || p.Born < born {
			first[p.Digest] = p.Born
		}
	}
	slices.SortStableFunc(list, func(a, b keeper.Proc) int {
		return int(int64(first[a.Digest]) - int64(first[b.Digest]))
	})
	if err := s.tidy(first); err != nil {
		return nil, err
	}

	var running []deployer.Running
	for _, p := range list {
		number, err := strconv.Atoi(p.Labels[LabelReplica])
		if err != nil {
			continue // somebody has started a server of their own in the domain
		}
		running = append(running, deployer.Running{
			Process:  s.process(p),
			Replica:  place.Replica{Group: p.Labels[LabelGroup], Number: number},
			Version:  p.Digest,
			LogKey:   p.Labels[labelLogKey],
			Started:  p.Started,
			Restarts: p.Restarts,
		})
	}
	return running, nil
}

// list returns what is in the domain, once it is known what became of processes that were being started.
func (s *Succession) list(ctx context.Context) ([]keeper.Proc, error) {
	for end := time.Now().Add(startingTime); ; {
		list, err := s.keeper.List(ctx, s.domain)
		if err != nil {
			return nil, err
		}
		starts := slices.ContainsFunc(list, func(p keeper.Proc) bool { return p.Pid == 0 && p.State == lifecycle.Starting })
		if !starts || time.Now().After(end) {
			return slices.DeleteFunc(list, func(p keeper.Proc) bool { return p.Domain != s.domain }), nil
		}

		select {
		case <-time.After(startingPoll):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tidy removes the records of versions of which nothing runs.
func (s *Succession) tidy(runs map[string]uint64) error {
	records, _ := s.versions.Records() // what cannot be read is said when it is needed
	for _, r := range records {
		if _, ok := runs[r.Version]; ok {
			continue
		}
		if err := s.versions.Remove(r.Version); err != nil {
			return err
		}
	}
	return nil
}

// Save implements [deployer.Succession].
func (s *Succession) Save(spec deployer.Spec) error { return s.versions.Write(spec.Version, spec) }

// Load implements [deployer.Succession].
func (s *Succession) Load(version string) (spec deployer.Spec, err error) {
	record, err := s.versions.Load(version)
	if err != nil {
		return spec, err
	}
	return spec, json.Unmarshal(record.Content, &spec)
}

// Forget implements [deployer.Succession].
func (s *Succession) Forget(version string) error { return s.versions.Remove(version) }

// maxFailures bounds the file of failures, in bytes.
const maxFailures = 64 << 10

// Failures implements [deployer.Succession].
func (s *Succession) Failures() (failures rollout.Failures, err error) {
	file, err := os.Open(s.failures)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, maxFailures)).Decode(&failures); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", s.failures, err)
	}
	return failures, nil
}

// SetFailures implements [deployer.Succession].
func (s *Succession) SetFailures(failures rollout.Failures) error {
	text, err := json.Marshal(failures)
	if err != nil {
		return err
	}
	return whole.Write(s.failures, text, 0o600)
}

// KeepCertificate implements [deployer.Succession]: it is in a slot of the keeper, and on no disk.
func (s *Succession) KeepCertificate(r replica.Launch, reply *protos.GetSelfCertificateReply) error {
	if !s.stays {
		return nil
	}

	var text bytes.Buffer
	if err := session.WriteCertificate(&text, reply); err != nil {
		return err
	}
	f, err := memfd.New("certificate", text.Bytes())
	if err != nil {
		return err
	}
	return s.keeper.Put(context.Background(), s.domain, certificateOf(r.Name, r.Version), f)
}
