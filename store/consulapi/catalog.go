package consulapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/store/internal/consul/catalog"
	"github.com/divisi-go/divisi/store/internal/consul/filter"
	"github.com/divisi-go/divisi/store/internal/consul/index"
	"github.com/divisi-go/divisi/store/internal/consul/poll"
)

// maxRegistration is how long the body of a registration may be.
const maxRegistration = 512 << 10

// selection is what a request wants to see of a list.
type selection struct {
	tags    []string
	meta    map[string]string // of the node
	passing bool
	filter  *filter.Filter
	name    string // equal where the selection is
}

// selection reads what a request wants to see.
func (c *call) selection() (selection, error) {
	sel := selection{meta: map[string]string{}, passing: c.query.Has("passing") && c.query.Get("passing") != "false"}
	for _, tag := range c.query["tag"] {
		if tag != "" {
			sel.tags = append(sel.tags, tag)
		}
	}
	for _, pair := range c.query["node-meta"] {
		key, value, _ := strings.Cut(pair, ":")
		sel.meta[key] = value
	}
	f, err := filter.Parse(c.query.Get("filter"))
	if err != nil {
		return sel, refuse(http.StatusBadRequest, "Failed to create boolean expression evaluator: %v", err)
	}
	sel.filter = f
	sel.name = fmt.Sprintf("%v %v %q %q %v %q", c.terms.stale, c.terms.pretty, sel.tags, sel.meta, sel.passing, c.query.Get("filter"))
	return sel, nil
}

// takes reports whether an instance has the tags, and its node the metadata.
func (sel selection) takes(s *catalog.Service, n *catalog.Node) bool {
	for _, tag := range sel.tags {
		if !slices.ContainsFunc(s.Tags, func(has string) bool { return strings.EqualFold(has, tag) }) {
			return false
		}
	}
	return sel.takesNode(n)
}

func (sel selection) takesNode(n *catalog.Node) bool {
	for key, value := range sel.meta {
		if n == nil || n.Meta[key] != value {
			return false
		}
	}
	return true
}

// shown returns those of a list that the filter shows.
func shown[T any](sel selection, list []T) []T {
	return slices.DeleteFunc(list, func(v T) bool { return !sel.filter.Shows(v) })
}

// look answers from the catalog. Where service is empty, that is from all of it, and the index is that of tables.
func (s *Server) look(c *call, name, service string, tables []string, list func(*catalog.View, selection) any) error {
	sel, err := c.selection()
	if err != nil {
		return err
	}
	t := c.terms
	var ranges []index.Range
	for _, folder := range catalog.Folders(service) {
		ranges = append(ranges, index.Range{Key: folder, Prefix: true})
	}
	h := c.w.Header()
	switch {
	case t.stale:
		h.Set("X-Consul-Effective-Consistency", "stale")
	case c.query.Has("consistent"):
		h.Set("X-Consul-Effective-Consistency", "consistent")
	default:
		h.Set("X-Consul-Effective-Consistency", "leader")
	}
	return s.respond(c, poll.Question{
		Name: fmt.Sprintf("catalog %s %q %s", name, service, sel.name), Ranges: ranges,
		Read: func(ctx context.Context) (*poll.Answer, error) {
			view, err := s.catalog.Load(ctx, service, t.stale)
			if err != nil {
				return nil, err
			}
			newest := int64(1)
			if service != "" {
				newest = s.serviceIndex(view, service)
			}
			for _, table := range tables {
				newest = max(newest, s.index.Table(table))
			}
			return t.answer(newest, list(view, sel))
		},
	})
}

// serviceIndex returns the index of what concerns a service: of its instances and their checks, of their nodes and the
// checks of those, and of what was deleted of these.
func (s *Server) serviceIndex(view *catalog.View, service string) int64 {
	newest := int64(0)
	on := map[string]bool{}
	for _, instance := range view.Services {
		on[instance.Node] = true
		newest = max(newest, instance.ModifyIndex)
	}
	for _, n := range view.Nodes {
		if on[n.Node] {
			newest = max(newest, n.ModifyIndex)
		}
	}
	for _, check := range view.Checks {
		if on[check.Node] {
			newest = max(newest, check.ModifyIndex)
		}
	}
	for node := range on {
		newest = max(newest, s.index.Deleted((&catalog.Check{Node: node}).Path()))
	}
	folders := catalog.Folders(service)
	newest = max(newest, s.index.Deleted(folders[2]))
	return s.index.Prefix(folders[1], newest)
}

// named returns what follows the path of an endpoint, which has to be there.
func (c *call) named(what string) (string, error) {
	if c.rest == "" {
		return "", refuse(http.StatusBadRequest, "Missing %s name", what)
	}
	return c.rest, nil
}

func getDatacenters(s *Server, c *call) error { return c.send([]string{s.options.Datacenter}) }

func getNodes(s *Server, c *call) error {
	return s.look(c, "nodes", "", []string{"node"}, func(v *catalog.View, sel selection) any {
		nodes := []*catalog.Node{}
		for _, n := range v.Nodes {
			if sel.takesNode(n) {
				nodes = append(nodes, n)
			}
		}
		return shown(sel, nodes)
	})
}

// flat is an instance as the catalog shows it.
type flat struct {
	ID                       string
	Node                     string
	Address                  string
	Datacenter               string
	TaggedAddresses          map[string]string
	NodeMeta                 map[string]string
	ServiceKind              string
	ServiceID                string
	ServiceName              string
	ServiceTags              []string
	ServiceAddress           string
	ServiceTaggedAddresses   map[string]catalog.Address `json:",omitempty"`
	ServiceWeights           catalog.Weights
	ServiceMeta              map[string]string
	ServicePort              int
	ServiceSocketPath        string
	ServiceEnableTagOverride bool
	CreateIndex              int64
	ModifyIndex              int64
}

func flattened(n *catalog.Node, s *catalog.Service) flat {
	return flat{
		ID: n.ID, Node: n.Node, Address: n.Address, Datacenter: n.Datacenter, TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta,
		ServiceID: s.ID, ServiceName: s.Service, ServiceTags: s.Tags, ServiceAddress: s.Address,
		ServiceTaggedAddresses: s.TaggedAddresses, ServiceWeights: s.Weights, ServiceMeta: s.Meta, ServicePort: s.Port,
		ServiceEnableTagOverride: s.EnableTagOverride, CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
	}
}

func getServices(s *Server, c *call) error {
	return s.look(c, "services", "", []string{"service", "node"}, func(v *catalog.View, sel selection) any {
		services := map[string][]string{}
		for _, instance := range v.Services {
			n := v.Node(instance.Node)
			if n == nil || !sel.takes(instance, n) || !sel.filter.Shows(flattened(n, instance)) {
				continue
			}
			tags := append(services[instance.Service], instance.Tags...)
			slices.Sort(tags)
			services[instance.Service] = slices.Compact(tags)
			if tags == nil {
				services[instance.Service] = []string{}
			}
		}
		return services
	})
}

func getService(s *Server, c *call) error {
	name, err := c.named("service")
	if err != nil {
		return err
	}
	return s.look(c, "service", name, nil, func(v *catalog.View, sel selection) any {
		instances := []flat{}
		for _, instance := range v.Services {
			n := v.Node(instance.Node)
			if n != nil && sel.takes(instance, n) {
				instances = append(instances, flattened(n, instance))
			}
		}
		return shown(sel, instances)
	})
}

// onNode returns the instances on a node that are shown.
func onNode(v *catalog.View, node string, sel selection) []*catalog.Service {
	services := []*catalog.Service{}
	for _, instance := range v.Services {
		if strings.EqualFold(instance.Node, node) {
			services = append(services, instance)
		}
	}
	return shown(sel, services)
}

func getNode(s *Server, c *call) error {
	name, err := c.named("node")
	if err != nil {
		return err
	}
	return s.look(c, "node "+name, "", []string{"node", "service"}, func(v *catalog.View, sel selection) any {
		n := v.Node(name)
		if n == nil {
			return nil
		}
		services := map[string]*catalog.Service{}
		for _, instance := range onNode(v, name, sel) {
			services[instance.ID] = instance
		}
		return struct {
			Node     *catalog.Node
			Services map[string]*catalog.Service
		}{n, services}
	})
}

func getNodeServices(s *Server, c *call) error {
	name, err := c.named("node")
	if err != nil {
		return err
	}
	return s.look(c, "node-services "+name, "", []string{"node", "service"}, func(v *catalog.View, sel selection) any {
		return struct {
			Node     *catalog.Node
			Services []*catalog.Service
		}{v.Node(name), onNode(v, name, sel)}
	})
}

// registration is the body of a registration in the catalog.
type registration struct {
	catalog.Node
	NodeMeta       map[string]string
	SkipNodeUpdate bool
	Service        *catalog.Service
	Check          *catalog.Check
	Checks         []*catalog.Check
}

func putRegistration(s *Server, c *call) error {
	var r registration
	err := c.decode(&r, maxRegistration)
	if err != nil {
		return err
	}
	if r.Node.Node == "" || r.Address == "" && !r.SkipNodeUpdate {
		return refuse(http.StatusBadRequest, "Must provide node and address")
	}
	if r.SkipNodeUpdate {
		r.Address = ""
	}
	r.Datacenter = s.options.Datacenter
	if r.NodeMeta != nil {
		r.Node.Meta = r.NodeMeta
	}
	var services []*catalog.Service
	if r.Service != nil {
		if r.Service.Service == "" {
			return refuse(http.StatusBadRequest, "Must provide service name (Service.Service)")
		}
		services = append(services, s.instance(r.Service, r.Node.Node))
	}
	if r.Check != nil {
		r.Checks = append(r.Checks, r.Check)
	}
	for _, check := range r.Checks {
		complete(check, r.Node.Node, services)
	}
	return s.changed(c, func(ctx context.Context) (int64, error) {
		return s.catalog.Register(ctx, &r.Node, services, r.Checks)
	})
}

// complete fills what a check leaves out.
func complete(check *catalog.Check, node string, services []*catalog.Service) {
	check.Node = node
	if check.ServiceID == "" && check.ServiceName != "" && len(services) > 0 {
		check.ServiceID = services[0].ID
	}
	if check.CheckID == "" {
		check.CheckID = check.Name
	}
	if check.ServiceTags == nil {
		check.ServiceTags = []string{}
	}
}

// instance fills what an instance leaves out.
func (s *Server) instance(service *catalog.Service, node string) *catalog.Service {
	service.Node = node
	if service.ID == "" {
		service.ID = service.Service
	}
	if service.Tags == nil {
		service.Tags = []string{}
	}
	if service.Meta == nil {
		service.Meta = map[string]string{}
	}
	if service.Weights == (catalog.Weights{}) {
		service.Weights = catalog.Weights{Passing: 1, Warning: 1}
	}
	return service
}

// changed makes a change of the catalog, and answers when it can be seen.
func (s *Server) changed(c *call, change func(context.Context) (int64, error)) error {
	revision, err := change(c.Context())
	var r catalog.Refusal
	if errors.As(err, &r) {
		return refuse(http.StatusInternalServerError, "%s", string(r))
	}
	if err != nil {
		return err
	}
	s.reach(c.Context(), revision)
	return c.send(true)
}

func putDeregistration(s *Server, c *call) error {
	var d struct{ Node, ServiceID, CheckID string }
	err := c.decode(&d, maxRegistration)
	if err != nil {
		return err
	}
	if d.Node == "" {
		return refuse(http.StatusBadRequest, "Must provide node")
	}
	return s.changed(c, func(ctx context.Context) (int64, error) {
		revision, _, err := s.catalog.Deregister(ctx, d.Node, d.ServiceID, d.CheckID)
		return revision, err
	})
}
