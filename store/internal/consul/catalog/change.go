package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Statuses of checks.
const (
	Passing  = "passing"
	Warning  = "warning"
	Critical = "critical"
)

// Refusal is a change that cannot be made.
type Refusal string

func (r Refusal) Error() string { return string(r) }

func refuse(format string, a ...any) error { return Refusal(fmt.Sprintf(format, a...)) }

// change is what becomes of records, if those that were read are still so.
type change struct {
	catalog *Catalog
	view    *View
	guards  []clientv3.Cmp
	writes  []clientv3.Op
}

func encoded(record any) string {
	text, err := json.Marshal(record)
	if err != nil {
		panic(err) // records are made of strings and numbers
	}
	return string(text)
}

// write writes a record, which was written last in a revision, 0 if never.
func (c *change) write(path string, last int64, record any) {
	key := c.catalog.prefix + path
	c.guards = append(c.guards, clientv3.Compare(clientv3.ModRevision(key), "=", last))
	c.writes = append(c.writes, clientv3.OpPut(key, encoded(record)))
}

func (c *change) remove(path string) {
	c.writes = append(c.writes, clientv3.OpDelete(c.catalog.prefix+path))
}

// change makes a change from what is there, again if it has changed meanwhile, and returns the revision.
func (c *Catalog) change(ctx context.Context, decide func(*change) error) (int64, error) {
	for {
		view, err := c.Load(ctx, "", false)
		if err != nil {
			return 0, err
		}
		next := &change{catalog: c, view: view}
		err = decide(next)
		if err != nil {
			return 0, err
		}
		if len(next.writes) == 0 {
			return view.Revision, nil
		}
		done, err := c.client.Txn(ctx).If(next.guards...).Then(next.writes...).Commit()
		if err != nil {
			return 0, err
		}
		if done.Succeeded {
			return done.Header.Revision, nil
		}
	}
}

// Register adds a node, or instances and checks on it, or changes them. The node is needed where there is none of that name.
func (c *Catalog) Register(ctx context.Context, node *Node, services []*Service, checks []*Check) (int64, error) {
	leases := map[string]clientv3.LeaseID{}
	for _, check := range checks {
		if check.Rule.TTL == 0 {
			continue
		}
		lease, err := c.client.Grant(ctx, seconds(check.Rule.TTL))
		if err != nil {
			return 0, err
		}
		leases[check.CheckID] = lease.ID
	}
	return c.change(ctx, func(next *change) error {
		err := next.node(node)
		if err != nil {
			return err
		}
		for _, s := range services {
			next.service(s)
		}
		for _, check := range checks {
			err := next.check(check, services, leases[check.CheckID])
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func (c *change) node(n *Node) error {
	was := c.view.Node(n.Node)
	switch {
	case was == nil && n.Address == "":
		return refuse("Must provide address if SkipNodeUpdate is not set")
	case was == nil:
		c.write(n.Path(), 0, n)
	case n.Address != "" && !n.alike(was):
		c.write(n.Path(), was.ModifyIndex, n)
	}
	return nil
}

func (c *change) service(s *Service) {
	was := c.view.service(s.Node, s.ID)
	last := int64(0)
	switch {
	case was == nil:
	case was.Service != s.Service:
		c.dropService(was) // it has another name now
	case s.alike(was):
		return
	default:
		last = was.ModifyIndex
	}
	c.write(s.Path(), last, record{Service: s, Node: s.Node})
}

// check writes a check. Where it is renewed as before, it keeps its status.
func (c *change) check(check *Check, with []*Service, lease clientv3.LeaseID) error {
	now := *check
	if now.ServiceID != "" {
		s := c.view.service(now.Node, now.ServiceID)
		for _, new := range with {
			if new.ID == now.ServiceID {
				s = new
			}
		}
		if s == nil {
			return refuse("Missing service registration: there is no service %q on node %q", now.ServiceID, now.Node)
		}
		now.ServiceName, now.ServiceTags = s.Service, s.Tags
	}
	was := c.view.Check(now.Node, now.CheckID)
	last := int64(0)
	if was != nil {
		last = was.ModifyIndex
		if now.Status == "" {
			now.Status, now.Output = was.Status, was.Output
		}
		if was.Path() != now.Path() {
			c.dropCheck(was)
			last = 0
		}
	}
	if now.Status == "" {
		now.Status = Critical
	}

	now.Rule.Lease = lease
	if was != nil && last != 0 && now.Rule.TTL != 0 && was.Rule.Lease != 0 && now.Rule.TTL == was.Rule.TTL {
		now.Rule.Lease = was.Rule.Lease
	}
	if was != nil && last != 0 && now.alike(was) {
		return nil
	}
	c.put(&now, last)
	return nil
}

// put writes a check, and what lives as long as it is renewed.
func (c *change) put(check *Check, last int64) {
	switch {
	case check.Status != Critical:
		check.Rule.Critical = time.Time{}
	case check.Rule.Critical.IsZero():
		check.Rule.Critical = time.Now().UTC()
	}
	c.write(check.Path(), last, record{Check: check, Node: check.Node, Rule: &check.Rule})
	if check.Rule.Lease != 0 {
		c.writes = append(c.writes, clientv3.OpPut(c.catalog.prefix+check.alive(), check.Path(), clientv3.WithLease(check.Rule.Lease)))
	}
}

func (c *change) dropService(s *Service) {
	c.remove(s.Path())
	for _, check := range c.view.Checks {
		if check.Node == s.Node && check.ServiceID == s.ID {
			c.dropCheck(check)
		}
	}
}

func (c *change) dropCheck(check *Check) {
	c.remove(check.Path())
	if check.Rule.Lease != 0 {
		c.remove(check.alive())
	}
}

// Deregister removes a check, or a service with its checks, or, where neither is named, a node with everything on it. It
// reports whether there was such a thing.
func (c *Catalog) Deregister(ctx context.Context, node, service, check string) (revision int64, found bool, err error) {
	revision, err = c.change(ctx, func(next *change) error {
		switch {
		case check != "":
			was := next.view.Check(node, check)
			if was != nil {
				next.dropCheck(was)
			}
		case service != "":
			was := next.view.service(node, service)
			if was != nil {
				next.dropService(was)
			}
		default:
			next.dropNode(node)
		}
		found = len(next.writes) > 0
		return nil
	})
	return revision, found, err
}

func (c *change) dropNode(name string) {
	n := c.view.Node(name)
	if n == nil {
		return
	}
	c.remove(n.Path())
	for _, s := range c.view.Services {
		if s.Node == n.Node {
			c.remove(s.Path())
		}
	}
	for _, check := range c.view.Checks {
		if check.Node == n.Node {
			c.dropCheck(check)
		}
	}
}

// Keep removes the checks of an instance but for some.
func (c *Catalog) Keep(ctx context.Context, s *Service, checks []*Check) (int64, error) {
	kept := map[string]bool{}
	for _, check := range checks {
		kept[check.CheckID] = true
	}
	return c.change(ctx, func(next *change) error {
		for _, check := range next.view.Checks {
			if check.Node == s.Node && check.ServiceID == s.ID && !kept[check.CheckID] {
				next.dropCheck(check)
			}
		}
		return nil
	})
}

// Update says what the status of a check is, and renews it. What it was before is not written again.
func (c *Catalog) Update(ctx context.Context, node, id, status, output string) (revision int64, found bool, err error) {
	lease := clientv3.LeaseID(0)
	for {
		missing := time.Duration(0)
		revision, err = c.change(ctx, func(next *change) error {
			was := next.view.Check(node, id)
			found = was != nil
			if !found {
				return nil
			}
			now := *was
			now.Status, now.Output = status, output
			if lease != 0 {
				now.Rule.Lease = lease
			}
			if now.Rule.TTL != 0 && lease == 0 {
				lives, err := c.renew(ctx, now.Rule.Lease)
				if err != nil {
					return err
				}
				if !lives {
					missing = now.Rule.TTL
					return nil
				}
			}
			if now.Rule.Lease == was.Rule.Lease && now.alike(was) {
				return nil
			}
			next.put(&now, was.ModifyIndex)
			return nil
		})
		if err != nil || missing == 0 {
			return revision, found, err
		}
		granted, err := c.client.Grant(ctx, seconds(missing))
		if err != nil {
			return 0, found, err
		}
		lease = granted.ID
	}
}

// renew lets a lease begin anew, and reports whether there is one.
func (c *Catalog) renew(ctx context.Context, lease clientv3.LeaseID) (lives bool, err error) {
	if lease == 0 {
		return false, nil
	}
	_, err = c.client.KeepAliveOnce(ctx, lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Expire makes one check critical that nobody has renewed in time, or removes one service that has been critical for longer
// than it may, and reports whether there was one.
func (c *Catalog) Expire(ctx context.Context) (found bool, err error) {
	_, err = c.change(ctx, func(next *change) error {
		alive, err := c.client.Get(ctx, c.prefix+"alive/check/", clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithRev(next.view.Revision))
		if err != nil {
			return err
		}
		living := map[string]bool{}
		for _, kv := range alive.Kvs {
			living[strings.TrimPrefix(string(kv.Key), c.prefix)] = true
		}
		for _, check := range next.view.Checks {
			if next.overdue(check, living) {
				break
			}
		}
		found = len(next.writes) > 0
		return nil
	})
	return found, err
}

// overdue does what is due for a check, and reports whether something was.
func (c *change) overdue(check *Check, living map[string]bool) bool {
	if check.Rule.TTL != 0 && check.Status != Critical && !living[check.alive()] {
		now := *check
		now.Status, now.Output, now.Rule.Lease = Critical, "TTL expired", 0
		if check.Output != "" {
			now.Output += " (last output before timeout follows): " + check.Output
		}
		c.put(&now, check.ModifyIndex)
		return true
	}
	s := c.view.service(check.Node, check.ServiceID)
	if s == nil || check.Rule.Deregister == 0 || check.Rule.Critical.IsZero() || time.Since(check.Rule.Critical) <= check.Rule.Deregister {
		return false
	}
	c.dropService(s)
	return true
}
