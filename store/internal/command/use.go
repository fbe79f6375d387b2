package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// patience is how long a command waits for an answer.
const patience = 30 * time.Second

// using returns what runs a command that uses a store, be it one of ours or etcd. It takes min to max arguments.
func using(min, max int, use func(context.Context, *call, *clientv3.Client) error) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		var secure trust
		stores := c.flags.String("store", "localhost:2379", "the `addresses` of the store's members, or of etcd's, with commas between them")
		c.flags.StringVar(&secure.ca, "tls-ca", "", "the `file` with who may sign certificates of members; connections are encrypted then")
		c.flags.StringVar(&secure.cert, "tls-cert", "", "the `file` with the certificate of this client")
		c.flags.StringVar(&secure.key, "tls-key", "", "the `file` with the key of that certificate")
		user := c.flags.String("user", "", "the `name` of the user")
		password := c.flags.String("password-file", "", "the `file` with the user's password")
		err := c.parse(min, max)
		if err != nil {
			return err
		}

		config := clientv3.Config{
			Endpoints: endpoints(*stores), DialTimeout: patience, Username: *user, Logger: zap.NewNop(),
		}
		config.TLS, err = secure.config()
		if err != nil {
			return err
		}
		if *user != "" {
			secret, err := os.ReadFile(*password)
			if err != nil {
				return fmt.Errorf("cannot be the user %s without --password-file: %w", *user, err)
			}
			config.Password = strings.TrimRight(string(secret), "\r\n")
		}
		client, err := clientv3.New(config)
		if err != nil {
			return fmt.Errorf("cannot reach the store at %s: %w", *stores, err)
		}
		defer client.Close()
		return use(ctx, c, client)
	}
}

// endpoints returns the addresses of a list, of which each or the whole may begin with etcd://.
func endpoints(list string) []string {
	all := strings.Split(strings.TrimPrefix(list, "etcd://"), ",")
	for i := range all {
		all[i] = strings.TrimPrefix(strings.TrimSpace(all[i]), "etcd://")
	}
	return all
}

// trust is the files that a client's --tls flags name.
type trust struct{ ca, cert, key string }

func (t trust) config() (*tls.Config, error) {
	if t.ca == "" && t.cert == "" && t.key == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.ca != "" {
		text, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("cannot use --tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("cannot use --tls-ca %q: it has no certificate in PEM", t.ca)
		}
	}
	if t.cert != "" || t.key != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("cannot use --tls-cert %q and --tls-key %q: %w", t.cert, t.key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// get prints the values of keys: of one, or of all that begin with a prefix, with their keys.
func get(ctx context.Context, c *call) error {
	prefix := c.flags.Bool("prefix", false, "show all keys that begin with it, and their values")
	return using(1, 1, func(ctx context.Context, c *call, client *clientv3.Client) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		var options []clientv3.OpOption
		if *prefix {
			options = append(options, clientv3.WithPrefix())
		}
		found, err := client.Get(ctx, c.arguments[0], options...)
		switch {
		case err != nil:
			return fmt.Errorf("cannot get %q: %w", c.arguments[0], err)
		case !*prefix && len(found.Kvs) == 0:
			return fmt.Errorf("there is no key %q", c.arguments[0])
		}
		for _, kv := range found.Kvs {
			if *prefix {
				fmt.Fprintf(c.stdout, "%s=", kv.Key)
			}
			fmt.Fprintf(c.stdout, "%s\n", kv.Value)
		}
		return nil
	})(ctx, c)
}

// put writes a key; a value of - is what comes by the standard input.
func put(ctx context.Context, c *call, client *clientv3.Client) error {
	value := c.arguments[1]
	if value == "-" {
		text, err := io.ReadAll(c.stdin)
		if err != nil {
			return fmt.Errorf("cannot read the value of %q: %w", c.arguments[0], err)
		}
		value = string(text)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := client.Put(ctx, c.arguments[0], value)
	if err != nil {
		return fmt.Errorf("cannot put %q: %w", c.arguments[0], err)
	}
	return nil
}

func remove(ctx context.Context, c *call, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	deleted, err := client.Delete(ctx, c.arguments[0])
	if err != nil {
		return fmt.Errorf("cannot delete %q: %w", c.arguments[0], err)
	}
	if deleted.Deleted == 0 {
		return fmt.Errorf("there is no key %q", c.arguments[0])
	}
	return nil
}

// watch shows what becomes of the keys with a prefix until it is interrupted.
func watch(ctx context.Context, c *call, client *clientv3.Client) error {
	for r := range client.Watch(clientv3.WithRequireLeader(ctx), c.arguments[0], clientv3.WithPrefix()) {
		err := r.Err()
		if err != nil {
			return fmt.Errorf("cannot watch %q: %w", c.arguments[0], err)
		}
		for _, e := range r.Events {
			if e.Type == clientv3.EventTypeDelete {
				fmt.Fprintf(c.stdout, "%d deleted %s\n", e.Kv.ModRevision, e.Kv.Key)
				continue
			}
			fmt.Fprintf(c.stdout, "%d %s=%s\n", e.Kv.ModRevision, e.Kv.Key, e.Kv.Value)
		}
	}
	return nil
}

// status says how the members are.
func status(ctx context.Context, c *call, client *clientv3.Client) error {
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
		fmt.Fprintf(c.stdout, "%s: member %x %s, revision %d, %d of %d bytes in use, applied %d of %d\n",
			at, s.Header.MemberId, role, s.Header.Revision, s.DbSizeInUse, s.DbSizeQuota, s.RaftAppliedIndex, s.RaftIndex)
		for _, problem := range s.Errors {
			fmt.Fprintf(c.stdout, "%s: %s\n", at, problem)
		}
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
	fmt.Fprintf(c.stdout, "what was before revision %d is forgotten\n", revision)
	return nil
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
		fmt.Fprintf(c.stdout, "%s is defragmented\n", at)
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
		fmt.Fprintf(c.stdout, "ended %v of member %x\n", alarm.Alarm, alarm.MemberID)
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
	fmt.Fprintf(c.stdout, "%s has %d bytes: etcdutl snapshot restore makes a folder of it\n", path, size)
	return nil
}
