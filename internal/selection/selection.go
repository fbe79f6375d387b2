// Package selection picks servers by what somebody writes: one grammar, for every command that is about servers.
//
//	httpd-0@/shop/www      the server of that name
//	httpd-0                the servers of that name, in whatever domain
//	httpd-*@/shop/www      those whose names fit: * is any letters, ? is one
//	@/shop                 those in the domain
//	@/shop/...  /shop      those in the domain and below it
//	role:web               those that play the role
//	label:tier=front       those that have the label
//	role:web@/shop/...     those of both
//
// A domain that does not begin with a slash is below the current one: "@www" is "@/shop/www" in /shop. Nothing is
// picked by nothing: an empty text, or a role or a label without a name, is an error.
package selection

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/name"
)

// Selector picks servers. The zero value picks none.
type Selector struct {
	text string

	name       string // a pattern; "" for any
	role       string // "" for any
	key, value string // of a label; "" for any

	domain string // "" for any
	below  bool   // also what is below the domain
}

// Server is one to be picked, or not.
type Server struct {
	name.Server
	Roles  []string // the first one is what it is for
	Labels map[string]string
}

const (
	rolePrefix  = "role:"
	labelPrefix = "label:"
	rest        = "..." // after a domain: and what is below it
)

// Parse reads a selector, in a current domain.
func Parse(text, current string) (Selector, error) {
	s, err := parse(text, current)
	if err != nil {
		return Selector{}, fmt.Errorf("cannot select by %q: %w", text, err)
	}
	s.text = text
	return s, nil
}

var (
	errNothing = errors.New("it is empty: give a server such as web@/shop, a domain such as @/shop/..., a role such as role:web, or a label such as label:tier=front")
	errLabel   = errors.New("write label:NAME=VALUE")
)

func parse(text, current string) (s Selector, err error) {
	what, where, placed := strings.Cut(text, "@")
	switch {
	case strings.HasPrefix(text, "/"):
		what, where, placed = "", strings.TrimSuffix(text, "/")+"/"+rest, true
	case text == "":
		return s, errNothing
	}

	if placed {
		if s.domain, s.below, err = domain(where, current); err != nil {
			return s, err
		}
	}
	role, ofRole := strings.CutPrefix(what, rolePrefix)
	label, ofLabel := strings.CutPrefix(what, labelPrefix)
	switch {
	case ofRole:
		s.role = role
		return s, name.CheckLabel(role)
	case ofLabel:
		var ok bool
		if s.key, s.value, ok = strings.Cut(label, "="); !ok || s.key == "" {
			return s, errLabel
		}
		return s, nil
	case what == "":
		return s, nil // all of the domain
	}
	s.name = what
	return s, name.CheckLabel(strings.NewReplacer("*", "a", "?", "a").Replace(what))
}

// domain reads a domain, and whether what is below it is meant as well.
func domain(text, current string) (domain string, below bool, err error) {
	domain = text
	if text == rest {
		domain, below = current, true
	} else if before, ok := strings.CutSuffix(text, "/"+rest); ok {
		domain, below = before, true
		if before == "" {
			domain = "/"
		}
	}
	if domain == "" {
		return "", false, errors.New("there is no domain after the @: write @/DOMAIN")
	}
	domain = Resolve(domain, current)
	return domain, below, name.CheckDomain(domain)
}

// Resolve returns a domain that is below the current one unless it begins with a slash.
func Resolve(domain, current string) string {
	if strings.HasPrefix(domain, "/") {
		return domain
	}
	return strings.TrimSuffix(current, "/") + "/" + domain
}

// String returns the selector as somebody has written it.
func (s Selector) String() string { return s.text }

// Picks reports whether the selector picks a server.
func (s Selector) Picks(server Server) bool {
	switch {
	case s == Selector{}:
		return false
	case s.role != "" && !slices.Contains(server.Roles, s.role):
		return false
	case s.key != "" && !hasLabel(server.Labels, s.key, s.value):
		return false
	case s.domain != "" && server.Domain != s.domain && !(s.below && name.Within(server.Domain, s.domain)):
		return false
	}
	fits, err := path.Match(s.name, server.Name)
	return s.name == "" || fits && err == nil
}

func hasLabel(labels map[string]string, key, value string) bool {
	got, ok := labels[key]
	return ok && got == value
}

// Covers reports whether the selector picks whatever is in a domain and below it.
func (s Selector) Covers(domain string) bool {
	return s.below && s.name == "" && s.role == "" && s.key == "" && name.Within(domain, s.domain)
}

// Domain returns the domain whose servers the selector picks all, "" if it picks them by something else.
func (s Selector) Domain() string {
	if s.name != "" || s.role != "" || s.key != "" {
		return ""
	}
	return s.domain
}

// One reports whether the selector names one server by its whole name, so that it can pick no other.
func (s Selector) One() bool { return s.domain != "" && !s.below && s.isName() }

// isName reports whether the selector has a name, and no pattern.
func (s Selector) isName() bool { return s.name != "" && !strings.ContainsAny(s.name, "*?") }

// Bare reports whether the selector is a name without a domain, which is meant for one server.
func (s Selector) Bare() bool { return s.domain == "" && s.isName() }

// Everything reports whether the selector picks all servers that there are. To change all of them is said in words, and
// never by what picks.
func (s Selector) Everything() bool {
	anywhere := s.domain == "" || s.domain == "/" && s.below
	return s != Selector{} && anywhere && s.role == "" && s.key == "" && strings.Trim(s.name, "*") == ""
}

const (
	// LabelRoles is the label of a server with its roles, in order, with a comma between them.
	LabelRoles = "roles"
	labelOwn   = "label." // begins the others that are for selectors
)

// Of returns a server as it is picked, from the labels that the keeper has of it.
func Of(server name.Server, kept map[string]string) Server {
	s := Server{Server: server}
	if roles := kept[LabelRoles]; roles != "" {
		s.Roles = strings.Split(roles, ",")
	}
	for key, value := range kept {
		if own, ok := strings.CutPrefix(key, labelOwn); ok {
			if s.Labels == nil {
				s.Labels = map[string]string{}
			}
			s.Labels[own] = value
		}
	}
	return s
}

// Kept is the inverse of [Of]: the labels that the keeper is to have of a server. There is an error about a role or a
// label that no selector can pick.
func Kept(roles []string, labels map[string]string) (map[string]string, error) {
	kept := map[string]string{}
	for _, role := range roles {
		if err := name.CheckLabel(role); err != nil {
			return nil, fmt.Errorf("the role %q: %w", role, err)
		}
	}
	if len(roles) > 0 {
		kept[LabelRoles] = strings.Join(roles, ",")
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if err := name.CheckLabel(key); err != nil {
			return nil, fmt.Errorf("the label %q: %w", key, err)
		}
		kept[labelOwn+key] = labels[key]
	}
	return kept, nil
}
