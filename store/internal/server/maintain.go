package server

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/coreos/go-semver/semver"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/auth"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"golang.org/x/crypto/bcrypt"

	"github.com/divisi-go/divisi/store/internal/drive"
)

// Authenticate gives a token for a password. The password is compared here, and does not come into the log.
func (s *Server) Authenticate(ctx context.Context, r *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	err := s.Linearize(ctx)
	if err != nil {
		return nil, err
	}
	for {
		revision, err := s.State.Auth.CheckPassword(r.Name, r.Password)
		if err != nil {
			return nil, err
		}
		token, err := s.State.Auth.GenTokenPrefix()
		if err != nil {
			return nil, err
		}
		response, err := Ask[*pb.AuthenticateResponse](ctx, s, &pb.InternalRaftRequest{
			Authenticate: &pb.InternalAuthenticateRequest{Name: r.Name, SimpleToken: token},
		})
		if err != nil || revision == s.State.Auth.Revision() {
			return response, err
		}
	}
}

// Hash returns what is kept of a password.
func (s *Server) Hash(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), s.State.Auth.BcryptCost())
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return "", errors.New("the password has more than 72 bytes, which is as much as bcrypt looks at")
	}
	return base64.StdEncoding.EncodeToString(hash), err
}

// MoveLeader hands the lead over to another voter, and returns when that leads.
func (s *Server) MoveLeader(ctx context.Context, to uint64) error {
	if !s.leads() {
		return servererrors.ErrNotLeader
	}
	member := s.State.Cluster.Member(memberID(to))
	if member == nil || member.IsLearner {
		return servererrors.ErrBadLeaderTransferee
	}
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	err := s.driver.Transfer(ctx, to)
	for err == nil && uint64(s.Leader()) != to {
		select {
		case <-time.After(drive.Tick / 10):
		case <-ctx.Done():
			return servererrors.ErrTimeoutLeaderTransfer
		}
	}
	return err
}

// StorageVersion returns the version of etcd whose layout the database has, nil if none is known.
func (s *Server) StorageVersion() *semver.Version {
	var found *semver.Version
	_ = s.State.UseBackend(func(b backend.Backend) error {
		version, err := schema.DetectSchemaVersion(s.logger, b.ReadTx())
		if err == nil {
			found = &version
		}
		return nil
	})
	return found
}

// migrate brings the layout of the database to that of the version that the members have agreed on.
func (s *Server) migrate() {
	agreed, found := s.State.Cluster.Version(), s.StorageVersion()
	if agreed == nil || found != nil && found.Major == agreed.Major && found.Minor == agreed.Minor {
		return
	}
	err := s.State.UseBackend(func(b backend.Backend) error {
		tx := b.BatchTx()
		tx.LockOutsideApply()
		defer tx.Unlock()
		return schema.UnsafeMigrate(s.logger, tx, s.disk.Version(), semver.Version{Major: agreed.Major, Minor: agreed.Minor})
	})
	if err != nil {
		s.logger.Sugar().Warnf("cannot bring the database to version %s: %v", agreed, err)
	}
}

// MayRead refuses who may not read all keys from key up to end. An empty end is that of one key, and "\x00" is none.
func (s *Server) MayRead(ctx context.Context, key, end []byte) error {
	who, err := s.Who(ctx)
	if err != nil {
		return err
	}
	if who == nil {
		who = &auth.AuthInfo{}
	}
	return s.State.Auth.IsRangePermitted(who, key, end)
}
