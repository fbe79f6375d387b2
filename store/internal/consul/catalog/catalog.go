// Package catalog has nodes, the services on them, and the checks of both, in a store with etcd's API.
//
//   - A node is node/NODE, a service of it service/NAME/NODE/ID, and a check check/NAME/NODE/ID, where NAME is that of the
//     service that is checked, and nothing for the node itself. So what concerns a service lies in two folders, and the index
//     of a query for it does not move for others.
//   - alive/check/NODE/ID lives as long as the check is renewed, and says where it is.
//
// Segments are escaped as those of a URL. What would be written as it is, is not written.
package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Node is a node.
type Node struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	CreateIndex     int64
	ModifyIndex     int64
}

// Weights say how much of the calls an instance gets.
type Weights struct{ Passing, Warning int }

// Address is one of several of a service.
type Address struct {
	Address string
	Port    int
}

// Service is an instance of a service, on a node.
type Service struct {
	ID                string
	Service           string
	Tags              []string
	Address           string
	TaggedAddresses   map[string]Address `json:",omitempty"`
	Meta              map[string]string
	Port              int
	Weights           Weights
	EnableTagOverride bool
	CreateIndex       int64
	ModifyIndex       int64

	Node string `json:"-"`
}

// Check is a check of a node, or of a service of it.
type Check struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	Interval    string
	Timeout     string
	Definition  struct{}
	CreateIndex int64
	ModifyIndex int64

	Rule Rule `json:"-"`
}

// Rule is how the status of a check is found.
type Rule struct {
	TTL        time.Duration `json:",omitempty"` // how long it lives without being renewed
	Deregister time.Duration `json:",omitempty"` // how long it may be critical before its service goes

	Critical time.Time        `json:",omitzero"` // since when it is
	Lease    clientv3.LeaseID `json:",omitempty"`
}

// Catalog is a catalog in a store.
type Catalog struct {
	client *clientv3.Client
	prefix string
}

// New returns the catalog whose keys in a store begin with a prefix.
func New(client *clientv3.Client, prefix string) *Catalog {
	return &Catalog{client: client, prefix: prefix}
}

func path(segments ...string) string {
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}

// Path returns where a record is.
func (n *Node) Path() string    { return "node/" + path(n.Node) }
func (s *Service) Path() string { return "service/" + path(s.Service, s.Node, s.ID) }
func (c *Check) Path() string   { return "check/" + path(c.ServiceName, c.Node, c.CheckID) }
func (c *Check) alive() string  { return "alive/check/" + path(c.Node, c.CheckID) }

// Folders returns the folders in which all is that concerns a service, or all services if the name is empty.
func Folders(service string) []string {
	if service == "" {
		return []string{"node/", "service/", "check/"}
	}
	name := url.PathEscape(service)
	return []string{"node/", "service/" + name + "/", "check/" + name + "/", "check//"}
}

// record is a service or a check as it is stored.
type record struct {
	Service *Service `json:",omitempty"`
	Check   *Check   `json:",omitempty"`
	Node    string
	Rule    *Rule `json:",omitempty"`
}

// View is what the catalog has, as of one revision.
type View struct {
	Revision int64
	Nodes    []*Node
	Services []*Service
	Checks   []*Check
}

// Load reads what concerns a service, or everything if the name is empty.
func (c *Catalog) Load(ctx context.Context, service string, stale bool) (*View, error) {
	var reads []clientv3.Op
	for _, folder := range Folders(service) {
		options := []clientv3.OpOption{clientv3.WithPrefix()}
		if stale {
			options = append(options, clientv3.WithSerializable())
		}
		reads = append(reads, clientv3.OpGet(c.prefix+folder, options...))
	}
	read, err := c.client.Txn(ctx).Then(reads...).Commit()
	if err != nil {
		return nil, err
	}
	v := &View{Revision: read.Header.Revision}
	for _, r := range read.Responses {
		for _, kv := range r.GetResponseRange().Kvs {
			err := v.add(strings.TrimPrefix(string(kv.Key), c.prefix), kv)
			if err != nil {
				return nil, fmt.Errorf("cannot read %s: %w", kv.Key, err)
			}
		}
	}
	slices.SortFunc(v.Services, func(a, b *Service) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(v.Checks, func(a, b *Check) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.CheckID, b.CheckID))
	})
	return v, nil
}

func (v *View) add(key string, kv *mvccpb.KeyValue) error {
	if strings.HasPrefix(key, "node/") {
		n := &Node{}
		err := json.Unmarshal(kv.Value, n)
		n.CreateIndex, n.ModifyIndex = kv.CreateRevision, kv.ModRevision
		v.Nodes = append(v.Nodes, n)
		return err
	}
	var r record
	err := json.Unmarshal(kv.Value, &r)
	switch {
	case err != nil:
		return err
	case r.Service != nil:
		r.Service.Node = r.Node
		r.Service.CreateIndex, r.Service.ModifyIndex = kv.CreateRevision, kv.ModRevision
		v.Services = append(v.Services, r.Service)
	case r.Check != nil:
		if r.Rule != nil {
			r.Check.Rule = *r.Rule
		}
		r.Check.CreateIndex, r.Check.ModifyIndex = kv.CreateRevision, kv.ModRevision
		v.Checks = append(v.Checks, r.Check)
	}
	return nil
}

// Node returns a node, nil if there is none.
func (v *View) Node(name string) *Node {
	for _, n := range v.Nodes {
		if strings.EqualFold(n.Node, name) {
			return n
		}
	}
	return nil
}

// Of returns the checks of an instance: those of its node, and its own.
func (v *View) Of(s *Service) []*Check {
	checks := []*Check{}
	for _, c := range v.Checks {
		if c.Node == s.Node && (c.ServiceID == "" || c.ServiceID == s.ID) {
			checks = append(checks, c)
		}
	}
	return checks
}

// service returns an instance on a node by its ID, nil if there is none.
func (v *View) service(node, id string) *Service {
	for _, s := range v.Services {
		if s.Node == node && s.ID == id {
			return s
		}
	}
	return nil
}

// Check returns a check on a node, nil if there is none.
func (v *View) Check(node, id string) *Check {
	for _, c := range v.Checks {
		if c.Node == node && c.CheckID == id {
			return c
		}
	}
	return nil
}

// alike reports whether two records say the same, whenever they were written.
func (n *Node) alike(o *Node) bool {
	a, b := *n, *o
	a.CreateIndex, a.ModifyIndex, b.CreateIndex, b.ModifyIndex = 0, 0, 0, 0
	return reflect.DeepEqual(a, b)
}

func (s *Service) alike(o *Service) bool {
	a, b := *s, *o
	a.CreateIndex, a.ModifyIndex, b.CreateIndex, b.ModifyIndex = 0, 0, 0, 0
	return reflect.DeepEqual(a, b)
}

func (c *Check) alike(o *Check) bool {
	a, b := *c, *o
	a.CreateIndex, a.ModifyIndex, b.CreateIndex, b.ModifyIndex = 0, 0, 0, 0
	a.Rule.Critical, b.Rule.Critical = time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}
