package consulapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/store/internal/consul/catalog"
)

// instance is an instance of a service with its health.
type instance struct {
	Node    *catalog.Node
	Service *catalog.Service
	Checks  []*catalog.Check
}

func (i instance) passing() bool {
	return !slices.ContainsFunc(i.Checks, func(c *catalog.Check) bool { return c.Status != catalog.Passing })
}

func getHealth(s *Server, c *call) error {
	name, err := c.named("service")
	if err != nil {
		return err
	}
	return s.look(c, "health", name, nil, func(v *catalog.View, sel selection) any {
		instances := []instance{}
		for _, service := range v.Services {
			i := instance{v.Node(service.Node), service, v.Of(service)}
			if i.Node != nil && sel.takes(service, i.Node) && (!sel.passing || i.passing()) {
				instances = append(instances, i)
			}
		}
		return shown(sel, instances)
	})
}

// checks answers with those checks of all that are meant.
func (s *Server) checks(c *call, name string, meant func(*catalog.Check) bool) error {
	return s.look(c, name, "", []string{"check"}, func(v *catalog.View, sel selection) any {
		checks := []*catalog.Check{}
		for _, check := range v.Checks {
			if meant(check) && sel.takesNode(v.Node(check.Node)) {
				checks = append(checks, check)
			}
		}
		return shown(sel, checks)
	})
}

func getNodeHealth(s *Server, c *call) error {
	name, err := c.named("node")
	if err != nil {
		return err
	}
	return s.checks(c, "node health "+name, func(check *catalog.Check) bool { return strings.EqualFold(check.Node, name) })
}

func getServiceChecks(s *Server, c *call) error {
	name, err := c.named("service")
	if err != nil {
		return err
	}
	return s.look(c, "checks", name, nil, func(v *catalog.View, sel selection) any {
		checks := []*catalog.Check{}
		for _, check := range v.Checks {
			if check.ServiceName == name && sel.takesNode(v.Node(check.Node)) {
				checks = append(checks, check)
			}
		}
		return shown(sel, checks)
	})
}

func getState(s *Server, c *call) error {
	state := c.rest
	if !slices.Contains([]string{"any", catalog.Passing, catalog.Warning, catalog.Critical}, state) {
		return refuse(http.StatusBadRequest, "Invalid check state: %q: give any, passing, warning or critical", state)
	}
	return s.checks(c, "state "+state, func(check *catalog.Check) bool { return state == "any" || check.Status == state })
}
