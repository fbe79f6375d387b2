// Package salvage makes a store with one member of what is left of another one: of a snapshot, or of the folder of a
// member that has lost the others.
//
// What must hold:
//
//   - The new store is written aside, and gets its place when all of it is on the disk. One that was cut short is
//     begun anew by the next run, and nobody serves it.
//   - What was in the folder stays in the folder.
//   - The new store and its member have identities that nobody had before, so what is left of the former one never
//     takes them for its own.
package salvage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"

	"github.com/divisi-go/divisi/store/internal/disk"
	"github.com/divisi-go/divisi/store/internal/machine"
)

// Options say what is made.
type Options struct {
	Dir  string // the data folder
	Name string // of the member

	// Skip is how many revisions are left out, so that none of the new store is one that a client of the former one
	// may have seen; what was before them is marked as compacted, so that watches learn that they have missed
	// something. With 0 revisions go on from where they were.
	Skip int64
	// Unsummed takes a snapshot that has no check sum, as a copy of the database of a member is.
	Unsummed bool

	Logger *zap.Logger
}

// Result says what was made.
type Result struct {
	Kept    int64  `json:"kept"`             // the last revision that was found
	Newest  int64  `json:"newest"`           // that of the new store
	Entries int    `json:"entries"`          // how many were in the log only
	Cluster uint64 `json:"cluster,string"`   // the identity of the new store
	Former  string `json:"former,omitempty"` // where the former member is now, if there was one
}

// Restore makes a store in a folder that has none from a snapshot.
func Restore(snapshot string, o Options) (Result, error) {
	made, err := o.restore(snapshot)
	if err != nil {
		return made, fmt.Errorf("cannot restore %s into %s: %w", snapshot, o.Dir, err)
	}
	return made, nil
}

func (o Options) restore(snapshot string) (Result, error) {
	p := placeIn(o.Dir)
	if fileutil.Exist(p.member) {
		return Result{}, errors.New("there is a store in it: choose another folder, or move it away")
	}
	err := p.begin()
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(p.aside)
	err = unpack(snapshot, p.next.BackendPath(), o.Unsummed)
	if err != nil {
		return Result{}, err
	}
	made, err := o.found(p.next)
	if err != nil {
		return made, err
	}
	return made, p.finish()
}

// Recover makes a store of the folder of a member whose store has lost its majority. It keeps all that this member
// has, also the end of its log, of which it does not know whether others had it: what was answered to somebody may be
// there, and what was not may have happened as well as not.
func Recover(o Options) (Result, error) {
	made, err := o.recover()
	if err != nil {
		return made, fmt.Errorf("cannot recover the store in %s: %w", o.Dir, err)
	}
	return made, nil
}

func (o Options) recover() (Result, error) {
	p := placeIn(o.Dir)
	info, err := os.Stat(o.Dir)
	switch {
	case err != nil:
		return Result{}, err
	case !info.IsDir():
		return Result{}, errors.New("it is no folder: divisi store restore makes one of a snapshot")
	case !fileutil.Exist(p.member) && !fileutil.Exist(p.former):
		return Result{}, errors.New("there is none")
	case !fileutil.Exist(p.member): // a run before was cut short when it had moved it
		err = os.Rename(p.former, p.member)
		if err != nil {
			return Result{}, err
		}
	}
	release, err := disk.Hold(o.Dir)
	if err != nil {
		return Result{}, err
	}
	defer release()

	err = p.begin()
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(p.aside)
	copied := config.ServerConfig{DataDir: filepath.Join(p.aside, "former")}
	err = os.CopyFS(copied.MemberDir(), os.DirFS(p.member))
	if err != nil {
		return Result{}, err
	}
	entries, err := o.replay(copied.DataDir)
	if err != nil {
		return Result{}, err
	}
	err = os.Rename(copied.BackendPath(), p.next.BackendPath())
	if err != nil {
		return Result{}, err
	}
	made, err := o.found(p.next)
	if err != nil {
		return made, err
	}
	made.Entries = entries
	made.Former, err = p.replace()
	return made, err
}

// replay applies to the state of a folder what its log has besides, and returns how much that was.
func (o Options) replay(dir string) (int, error) {
	d, err := disk.Open(disk.Options{Dir: dir, Logger: o.Logger})
	if err != nil {
		return 0, err
	}
	m, err := machine.New(machine.Options{
		Disk: d, Host: nobody{id: d.Member}, Logger: o.Logger, Quota: -1, Tokens: "simple", BcryptCost: bcrypt.MinCost,
	})
	if err != nil {
		return 0, errors.Join(err, d.Backend.Close(), d.Close())
	}

	rest := d.Entries
	for len(rest) > 0 && rest[0].GetIndex() <= d.Applied {
		rest = rest[1:]
	}
	err = m.Apply(rest, func(*raftpb.ConfChange) *raftpb.ConfState { return &raftpb.ConfState{} })
	if err == nil {
		m.Commit()
	}
	return len(rest), errors.Join(err, m.Close(), d.Close())
}

// place is where a store is made, and where it goes.
type place struct {
	dir    string
	member string              // where it goes
	aside  string              // where it is made
	next   config.ServerConfig // what is made
	former string              // where what was in its place waits for a name
}

func placeIn(dir string) place {
	aside := filepath.Join(dir, disk.Aside)
	return place{
		dir: dir, member: filepath.Join(dir, "member"), aside: aside, next: config.ServerConfig{DataDir: aside},
		former: filepath.Join(dir, disk.Former),
	}
}

// begin makes the folders, and removes what a run has left that was cut short.
func (p place) begin() error {
	err := os.RemoveAll(p.aside)
	if err == nil {
		err = os.MkdirAll(p.next.SnapDir(), fileutil.PrivateDirMode)
	}
	return err
}

// finish puts what was made into its place, where nothing is.
func (p place) finish() error {
	err := os.Rename(p.next.MemberDir(), p.member)
	if err != nil {
		return err
	}
	return syncDir(p.dir)
}

// replace puts what was made into the place of a member, and returns where that is now. While nothing is in the place,
// the former one has a name by which it is found again.
func (p place) replace() (string, error) {
	kept := filepath.Join(p.dir, "member.until-"+time.Now().Format("20060102-150405"))
	_, err := os.Lstat(kept)
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is there already", kept)
	}
	err = os.Rename(p.member, p.former)
	if err != nil {
		return "", err
	}
	err = p.finish()
	if err != nil {
		return "", errors.Join(err, os.Rename(p.former, p.member))
	}
	err = os.Rename(p.former, kept)
	return kept, errors.Join(err, syncDir(p.dir))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return fileutil.Fsync(f)
}
