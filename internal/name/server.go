package name

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// maxLabel keeps a label usable as a file name with a suffix and as a part of a host name's text.
const maxLabel = 100

// CheckLabel checks one part of a name: of an application, a version, a server or a domain. A
// label has ASCII letters, digits, "-", "_" and ".", begins and ends with a letter or a digit,
// and is at most 100 bytes long, so that it fits file names and SPIFFE paths as it is.
func CheckLabel(s string) error {
	if s == "" {
		return fmt.Errorf("a name is empty: give it letters and digits")
	}
	if len(s) > maxLabel {
		return fmt.Errorf("name %.20q... has %d bytes: use at most %d", s, len(s), maxLabel)
	}
	for i := range len(s) {
		c := s[i]
		if !isAlphanumeric(c) && (i == 0 || i == len(s)-1 || !isJoint(c)) {
			return fmt.Errorf("name %q cannot have %q at byte %d: use ASCII letters and digits, "+
				`and "-", "_" and "." between them`, s, s[i], i+1)
		}
	}
	return nil
}

// Group returns the name of the group of a component that is in no other: "cart" for
// "example.com/shop/cart/Cart" and "cart-fast" for its implementation named fast. It is a label.
func Group(c Component) string {
	iface, impl, _ := strings.Cut(string(c), "#")
	if c.Interface() == Main {
		iface = "main"
	}
	group := Label(iface[strings.LastIndexByte(iface, '/')+1:] + "#" + impl)
	if group == "" {
		// An interface may be called in letters that no label has; the path of its module is ASCII.
		group = Label(iface)
	}
	return strings.ToLower(group)
}

// Label makes a label of any name: what a label cannot have becomes "-". Different names may have
// the same label.
func Label(group string) string {
	b := []byte(group)
	for i, c := range b {
		if !isAlphanumeric(c) && !isJoint(c) {
			b[i] = '-'
		}
	}
	return strings.Trim(string(b), "-_.")
}

// Domain returns the domain of an application: "/shop", and "/orderd/shop" of "orderd/shop", which is a part of
// the system orderd.
func Domain(app string) (path string) {
	for part := range strings.SplitSeq(app, "/") {
		path += "/" + cmp.Or(Label(part), "app")
	}
	return path
}

// Server is the full name of one supervised process. Everybody who speaks of a process, to people,
// in files or to other programs, does so by this name. Versions of an application are told apart by
// a version beside it.
type Server struct {
	Name   string // a label, such as "httpd-0"
	Domain string // a path in the tree of names, such as "/shop/eu/www"; "/" is its root
}

// Replica names replica n of a group of an application: "cart-1@/shop".
func Replica(app, group string, n int) Server {
	return Server{Name: Label(group) + "-" + strconv.Itoa(n), Domain: Domain(app)}
}

// IsChosen reports whether a selector picks a server. A selector is a full name, a name without its
// domain, or the beginning of either; one that ends in a number has all of it: "cart-1" picks
// "cart-1@/shop", "cart" picks that and "cart-10@/shop". What follows the whole of a domain is another
// domain: "cart-1@/shop" does not pick "cart-1@/shop/eu".
func IsChosen(server, selector string) bool {
	rest, ok := strings.CutPrefix(server, selector)
	if !ok || rest == "" || selector == "" {
		return ok
	}
	if rest[0] == '/' && strings.Contains(selector, "@") {
		return false
	}
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	return !isDigit(rest[0]) || !isDigit(selector[len(selector)-1])
}

// ParseServer reads "httpd-0@/shop/eu/www".
func ParseServer(s string) (Server, error) {
	label, domain, ok := strings.Cut(s, "@")
	if !ok {
		return Server{}, fmt.Errorf("invalid server name %q: write NAME@/DOMAIN", s)
	}
	if err := CheckLabel(label); err != nil {
		return Server{}, fmt.Errorf("invalid server name %q: %w", s, err)
	}
	if err := CheckDomain(domain); err != nil {
		return Server{}, fmt.Errorf("invalid server name %q: %w", s, err)
	}
	return Server{Name: label, Domain: domain}, nil
}

// String is the inverse of ParseServer.
func (s Server) String() string { return s.Name + "@" + s.Domain }

// CheckDomain checks a path in the tree of names: "/", or labels with a "/" before each.
func CheckDomain(domain string) error {
	if domain == "/" {
		return nil
	}
	rest, ok := strings.CutPrefix(domain, "/")
	if !ok {
		return fmt.Errorf(`domain %q does not begin with "/": write /%s`, domain, domain)
	}
	for label := range strings.SplitSeq(rest, "/") {
		if err := CheckLabel(label); err != nil {
			return fmt.Errorf("domain %q: %w", domain, err)
		}
	}
	return nil
}

// Within reports whether a domain is another one or below it.
func Within(domain, other string) bool {
	return domain == other || strings.HasPrefix(domain, strings.TrimSuffix(other, "/")+"/")
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isJoint(c byte) bool { return c == '-' || c == '_' || c == '.' }
