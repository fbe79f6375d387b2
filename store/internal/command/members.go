package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// member is how a member is, as JSON shows it.
type member struct {
	Address  string   `json:"address"`
	ID       string   `json:"id"`
	Leads    bool     `json:"leads"`
	Version  string   `json:"version"`
	Revision int64    `json:"revision"`
	Size     int64    `json:"size"`
	InUse    int64    `json:"in_use"`
	Quota    int64    `json:"quota"`
	Applied  uint64   `json:"applied"`
	Index    uint64   `json:"index"`
	Errors   []string `json:"errors,omitempty"`
}

// tellStatus says how the members are.
func tellStatus(ctx context.Context, c *call, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var failed error
	for _, at := range client.Endpoints() {
		s, err := client.Status(ctx, at)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("cannot ask %s: %w", at, err))
			continue
		}
		role := "follows"
		if s.Leader == s.Header.MemberId {
			role = "leads"
		}
		problems := ""
		for _, problem := range s.Errors {
			problems += fmt.Sprintf("%s: %s\n", at, problem)
		}
		shown := member{
			Address: at, ID: fmt.Sprintf("%x", s.Header.MemberId), Leads: role == "leads", Version: s.Version, Revision: s.Header.Revision,
			Size: s.DbSize, InUse: s.DbSizeInUse, Quota: s.DbSizeQuota, Applied: s.RaftAppliedIndex, Index: s.RaftIndex, Errors: s.Errors,
		}
		err = c.show(shown, "%s: member %x %s, revision %d, %d of %d bytes in use, applied %d of %d\n%s",
			at, s.Header.MemberId, role, s.Header.Revision, s.DbSizeInUse, s.DbSizeQuota, s.RaftAppliedIndex, s.RaftIndex, problems)
		failed = errors.Join(failed, err)
	}
	return failed
}

// compact forgets what keys were before a revision, and returns when that is done.
func compact(ctx context.Context, c *call, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	revision, err := revisionOf(ctx, c.arguments, client)
	if err != nil {
		return err
	}
	_, err = client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	if err != nil {
		return fmt.Errorf("cannot compact to revision %d: %w", revision, err)
	}
	return c.show(changed{Revision: revision}, "what was before revision %d is forgotten\n", revision)
}

// revisionOf returns the revision that is meant, the newest one by default.
func revisionOf(ctx context.Context, arguments []string, client *clientv3.Client) (int64, error) {
	if len(arguments) == 0 {
		now, err := client.Get(ctx, "0", clientv3.WithCountOnly())
		if err != nil {
			return 0, fmt.Errorf("cannot ask for the newest revision: %w", err)
		}
		return now.Header.Revision, nil
	}
	revision, err := strconv.ParseInt(arguments[0], 10, 64)
	if err != nil || revision <= 0 {
		return 0, fmt.Errorf("%q is no revision: divisi store status says which is the newest", arguments[0])
	}
	return revision, nil
}

// defrag has members write their databases anew. A member answers nobody meanwhile, so they do it one after the other.
func defrag(ctx context.Context, c *call, client *clientv3.Client) error {
	for _, at := range client.Endpoints() {
		_, err := client.Defragment(ctx, at)
		if err != nil {
			return fmt.Errorf("cannot defragment %s: %w", at, err)
		}
		err = c.show(map[string]string{"defragmented": at}, "%s is defragmented\n", at)
		if err != nil {
			return err
		}
	}
	return nil
}

// disarm ends all alarms.
func disarm(ctx context.Context, c *call, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ended, err := client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	if err != nil {
		return fmt.Errorf("cannot end alarms: %w", err)
	}
	for _, alarm := range ended.Alarms {
		id := fmt.Sprintf("%x", alarm.MemberID)
		err = c.show(map[string]string{"ended": alarm.Alarm.String(), "member": id}, "ended %v of member %s\n", alarm.Alarm, id)
		if err != nil {
			return err
		}
	}
	return nil
}

// snapshot writes the state of a member to a file, which is there when all of it is on the disk.
func snapshot(ctx context.Context, c *call, client *clientv3.Client) error {
	path := c.arguments[0]
	from, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return fmt.Errorf("cannot take a snapshot: %w", err)
	}
	defer from.Snapshot.Close()
	to, err := os.CreateTemp(filepath.Dir(path), ".snapshot-*")
	if err != nil {
		return fmt.Errorf("cannot take a snapshot: %w", err)
	}
	defer os.Remove(to.Name()) // it is gone when it has got its name
	size, err := io.Copy(to, from.Snapshot)
	if err == nil {
		err = to.Sync()
	}
	err = errors.Join(err, to.Close())
	if err == nil {
		err = os.Rename(to.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot take a snapshot into %s: %w", path, err)
	}
	return c.show(map[string]any{"file": path, "bytes": size}, "%s has %d bytes: divisi store restore makes a folder of it\n", path, size)
}
