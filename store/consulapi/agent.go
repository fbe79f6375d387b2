package consulapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/divisi-go/divisi/store/internal/consul/catalog"
)

// version is that of the Consul whose API this is.
const version = "1.21.5"

func getSelf(s *Server, c *call) error {
	o := s.options
	return c.send(map[string]any{
		"Config": map[string]any{
			"Datacenter": o.Datacenter, "PrimaryDatacenter": o.Datacenter, "NodeName": o.Node, "NodeID": "",
			"Server": true, "Revision": "divisi", "Version": version,
		},
		"Member": s.member(),
		"Meta":   map[string]string{},
		"Stats":  map[string]any{},
	})
}

// member is this server as a member of the cluster that Consul's agents are.
func (s *Server) member() map[string]any {
	return map[string]any{
		"Name": s.options.Node, "Addr": s.options.Address, "Port": 8301, "Status": 1,
		"Tags":        map[string]string{"role": "consul", "dc": s.options.Datacenter, "build": version},
		"ProtocolMin": 1, "ProtocolMax": 5, "ProtocolCur": 2, "DelegateMin": 2, "DelegateMax": 5, "DelegateCur": 4,
	}
}

func getMembers(s *Server, c *call) error { return c.send([]any{s.member()}) }

// own is an instance as its agent shows it.
type own struct {
	*catalog.Service
	Datacenter string
}

// local loads the catalog, and the selection of a request to this agent, for which there is no index.
func (s *Server) local(c *call) (*catalog.View, selection, error) {
	sel, err := c.selection()
	if err != nil {
		return nil, sel, err
	}
	v, err := s.catalog.Load(c.Context(), "", c.terms.stale)
	return v, sel, err
}

func getOwnServices(s *Server, c *call) error {
	v, sel, err := s.local(c)
	if err != nil {
		return err
	}
	services := map[string]own{}
	for _, service := range onNode(v, s.options.Node, sel) {
		if service.Service != "consul" {
			services[service.ID] = own{service, s.options.Datacenter}
		}
	}
	return c.send(services)
}

func getOwnService(s *Server, c *call) error {
	v, sel, err := s.local(c)
	if err != nil {
		return err
	}
	for _, service := range onNode(v, s.options.Node, sel) {
		if service.ID == c.rest {
			return c.send(own{service, s.options.Datacenter})
		}
	}
	return refuse(http.StatusNotFound, "unknown service ID: %s", c.rest)
}

func getOwnChecks(s *Server, c *call) error {
	v, sel, err := s.local(c)
	if err != nil {
		return err
	}
	checks := map[string]*catalog.Check{}
	for _, check := range v.Checks {
		if check.Node == s.options.Node && check.CheckID != alive && sel.filter.Shows(check) {
			checks[check.CheckID] = check
		}
	}
	return c.send(checks)
}

// duration is one in JSON: a string with a unit, or nanoseconds.
type duration = pause

// checkBody is what one may say of a new check.
type checkBody struct {
	ID, CheckID, Name, Notes, Status, ServiceID string
	HTTP, TCP, GRPC                             string
	TTL                                         duration
	DeregisterCriticalServiceAfter              duration
}

// check returns the check that a body describes.
func (b *checkBody) check(id string) (*catalog.Check, error) {
	switch {
	case b.HTTP != "" || b.TCP != "" || b.GRPC != "":
		return nil, refuse(http.StatusBadRequest, "Invalid check: HTTP, TCP and GRPC are not served: give a TTL, and renew it")
	case b.TTL <= 0:
		return nil, refuse(http.StatusBadRequest, "Invalid check: TTL must be > 0 for TTL checks")
	}
	check := &catalog.Check{
		CheckID: id, Name: b.Name, Notes: b.Notes, Status: b.Status, ServiceID: b.ServiceID, ServiceTags: []string{}, Type: "ttl",
		Rule: catalog.Rule{TTL: time.Duration(b.TTL)},
	}
	if !slices.Contains([]string{"", catalog.Passing, catalog.Warning, catalog.Critical}, b.Status) {
		return nil, refuse(http.StatusBadRequest, "Bad check status: %q", b.Status)
	}
	if b.DeregisterCriticalServiceAfter > 0 {
		check.Rule.Deregister = max(time.Duration(b.DeregisterCriticalServiceAfter), time.Minute)
	}
	return check, nil
}

// serviceBody is what one may say of a new instance.
type serviceBody struct {
	ID, Name          string
	Tags              []string
	Address           string
	TaggedAddresses   map[string]catalog.Address
	Port              int
	Meta              map[string]string
	Weights           catalog.Weights
	EnableTagOverride bool
	Check             *checkBody
	Checks            []*checkBody
}

func registerService(s *Server, c *call) error {
	var b serviceBody
	err := c.decode(&b, maxRegistration)
	if err != nil {
		return err
	}
	if b.Name == "" {
		return refuse(http.StatusBadRequest, "Missing service name")
	}
	service := s.instance(&catalog.Service{
		ID: b.ID, Service: b.Name, Tags: b.Tags, Address: b.Address, TaggedAddresses: b.TaggedAddresses, Port: b.Port, Meta: b.Meta,
		Weights: b.Weights, EnableTagOverride: b.EnableTagOverride,
	}, s.options.Node)
	checks, err := b.checks(service)
	if err != nil {
		return err
	}
	return s.replied(c, func(ctx context.Context) (int64, error) {
		revision, err := s.catalog.Register(ctx, s.node(), []*catalog.Service{service}, checks)
		if err != nil || !c.query.Has("replace-existing-checks") {
			return revision, err
		}
		return s.catalog.Keep(ctx, service, checks)
	})
}

// checks returns the checks that come with an instance.
func (b *serviceBody) checks(service *catalog.Service) ([]*catalog.Check, error) {
	bodies := b.Checks
	if b.Check != nil {
		bodies = append([]*checkBody{b.Check}, bodies...)
	}
	var checks []*catalog.Check
	for i, body := range bodies {
		id := body.CheckID
		if id == "" {
			id = "service:" + service.ID
			if len(bodies) > 1 {
				id = fmt.Sprintf("%s:%d", id, i+1)
			}
		}
		check, err := body.check(id)
		if err != nil {
			return nil, err
		}
		if check.Name == "" {
			check.Name = fmt.Sprintf("Service '%s' check", service.Service)
		}
		check.Node, check.ServiceID = service.Node, service.ID
		checks = append(checks, check)
	}
	return checks, nil
}

// node is this server as a node of the catalog.
func (s *Server) node() *catalog.Node {
	return &catalog.Node{
		Node: s.options.Node, Address: s.options.Address, Datacenter: s.options.Datacenter,
		TaggedAddresses: map[string]string{"lan": s.options.Address, "wan": s.options.Address},
		Meta:            map[string]string{"consul-network-segment": ""},
	}
}

// enter puts this server into the catalog, as Consul's agents do.
func (s *Server) enter(ctx context.Context) error {
	server := s.instance(&catalog.Service{Service: "consul", Port: 8300}, s.options.Node)
	_, err := s.catalog.Register(ctx, s.node(), []*catalog.Service{server}, []*catalog.Check{{
		Node: s.options.Node, CheckID: alive, Name: "Serf Health Status", Status: catalog.Passing,
		Output: "Agent alive and reachable", ServiceTags: []string{},
	}})
	return err
}

// replied makes a change of this agent's, which is answered with nothing.
func (s *Server) replied(c *call, change func(context.Context) (int64, error)) error {
	revision, err := change(c.Context())
	if r, is := err.(catalog.Refusal); is {
		return refuse(http.StatusBadRequest, "%s", string(r))
	}
	if err == nil {
		s.reach(c.Context(), revision)
	}
	return err
}

func deregisterService(s *Server, c *call) error {
	return s.replied(c, func(ctx context.Context) (int64, error) {
		revision, found, err := s.catalog.Deregister(ctx, s.options.Node, c.rest, "")
		if err == nil && !found || c.rest == "" {
			err = refuse(http.StatusNotFound, "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", c.rest)
		}
		return revision, err
	})
}

func registerCheck(s *Server, c *call) error {
	var b checkBody
	err := c.decode(&b, maxRegistration)
	if err != nil {
		return err
	}
	if b.Name == "" {
		return refuse(http.StatusBadRequest, "Missing check name")
	}
	id := b.ID
	for _, other := range []string{b.CheckID, b.Name} {
		if id == "" {
			id = other
		}
	}
	check, err := b.check(id)
	if err != nil {
		return err
	}
	check.Node = s.options.Node
	return s.replied(c, func(ctx context.Context) (int64, error) {
		return s.catalog.Register(ctx, s.node(), nil, []*catalog.Check{check})
	})
}

func deregisterCheck(s *Server, c *call) error {
	return s.replied(c, func(ctx context.Context) (int64, error) {
		revision, found, err := int64(0), false, error(nil)
		if c.rest != "" {
			revision, found, err = s.catalog.Deregister(ctx, s.options.Node, "", c.rest)
		}
		if err == nil && !found {
			err = unknownCheck(c.rest)
		}
		return revision, err
	})
}

func unknownCheck(id string) error {
	return refuse(http.StatusNotFound, "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)
}

// renew returns an endpoint that says what the status of a check is.
func renew(status string) func(*Server, *call) error {
	return func(s *Server, c *call) error { return s.update(c, status, c.query.Get("note")) }
}

func updateCheck(s *Server, c *call) error {
	var b struct{ Status, Output string }
	err := c.decode(&b, maxRegistration)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{catalog.Passing, catalog.Warning, catalog.Critical}, b.Status) {
		return refuse(http.StatusBadRequest, "Invalid check status: '%s'", b.Status)
	}
	return s.update(c, b.Status, b.Output)
}

// maxOutput is how much of the output of a check is kept.
const maxOutput = 4 << 10

func (s *Server) update(c *call, status, output string) error {
	if len(output) > maxOutput {
		output = fmt.Sprintf("Captured %d of %d bytes\n...\n%s", maxOutput, len(output), output[len(output)-maxOutput:])
	}
	return s.replied(c, func(ctx context.Context) (int64, error) {
		revision, found, err := s.catalog.Update(ctx, s.options.Node, c.rest, status, output)
		if err == nil && !found {
			err = unknownCheck(c.rest)
		}
		return revision, err
	})
}
