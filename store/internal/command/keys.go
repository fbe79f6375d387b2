package command

import (
	"context"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// patience is how long a command waits for an answer.
const patience = 30 * time.Second

// pair is a key as JSON shows it. What is no text is there as base64.
type pair struct {
	Event      string `json:"event,omitempty"`
	Key        string `json:"key,omitempty"`
	KeyBytes   []byte `json:"key_base64,omitempty"`
	Value      string `json:"value"`
	ValueBytes []byte `json:"value_base64,omitempty"`
	Revision   int64  `json:"revision"`
	Created    int64  `json:"created,omitempty"`
	Version    int64  `json:"version,omitempty"`
	Lease      string `json:"lease,omitempty"`
}

func shown(kv *mvccpb.KeyValue, event string) pair {
	p := pair{Event: event, Revision: kv.ModRevision, Created: kv.CreateRevision, Version: kv.Version}
	if utf8.Valid(kv.Key) {
		p.Key = string(kv.Key)
	} else {
		p.KeyBytes = kv.Key
	}
	if utf8.Valid(kv.Value) {
		p.Value = string(kv.Value)
	} else {
		p.ValueBytes = kv.Value
	}
	if kv.Lease != 0 {
		p.Lease = fmt.Sprintf("%x", kv.Lease)
	}
	return p
}

// changed is what a write has come to.
type changed struct {
	Revision int64 `json:"revision"`
	Deleted  int64 `json:"deleted,omitempty"`
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
				err = c.show(shown(kv, ""), "%s=%s\n", kv.Key, kv.Value)
			} else {
				err = c.show(shown(kv, ""), "%s\n", kv.Value)
			}
			if err != nil {
				return err
			}
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
	done, err := client.Put(ctx, c.arguments[0], value)
	if err != nil {
		return fmt.Errorf("cannot put %q: %w", c.arguments[0], err)
	}
	return c.show(changed{Revision: done.Header.Revision}, "")
}

func remove(ctx context.Context, c *call) error {
	prefix := c.flags.Bool("prefix", false, "delete all keys that begin with it")
	return using(1, 1, func(ctx context.Context, c *call, client *clientv3.Client) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		var options []clientv3.OpOption
		if *prefix {
			options = append(options, clientv3.WithPrefix())
		}
		done, err := client.Delete(ctx, c.arguments[0], options...)
		switch {
		case err != nil:
			return fmt.Errorf("cannot delete %q: %w", c.arguments[0], err)
		case done.Deleted == 0 && !*prefix:
			return fmt.Errorf("there is no key %q", c.arguments[0])
		}
		return c.show(changed{Revision: done.Header.Revision, Deleted: done.Deleted}, "")
	})(ctx, c)
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
				err = c.show(shown(e.Kv, "delete"), "%d deleted %s\n", e.Kv.ModRevision, e.Kv.Key)
			} else {
				err = c.show(shown(e.Kv, "put"), "%d %s=%s\n", e.Kv.ModRevision, e.Kv.Key, e.Kv.Value)
			}
			if err != nil {
				return err
			}
		}
	}
	if ctx.Err() == nil {
		return fmt.Errorf("cannot watch %q any more: the store has ended the watch", c.arguments[0])
	}
	return nil
}
