// Package name holds the names that the rest of the program speaks of: components, replicas and
// servers, and the nearest known name to put into an error when one is not known.
package name

import (
	"fmt"
	"strings"
	"unicode"
)

// Main is the component that an application begins with, and OldMain the same by its name in
// Service Weaver, which weavelets and deployers of v0.20 know.
const (
	Main    Component = "github.com/divisi-go/divisi/Main"
	OldMain Component = "github.com/ServiceWeaver/weaver/Main"
)

// Component is the full name of a component, on the wire and in files: the import path of its
// interface and the interface's name ("example.com/shop/cart/Cart"), and for a named
// implementation "#" and the implementation's name ("example.com/shop/cart/Cart#fast").
type Component string

// ParseComponent checks that s is the full name of a component.
func ParseComponent(s string) (Component, error) {
	c := Component(s)
	path, iface := "", string(c.Interface())
	if i := strings.LastIndexByte(iface, '/'); i >= 0 {
		path, iface = iface[:i], iface[i+1:]
	}
	switch {
	case path == "":
		return "", fmt.Errorf("invalid component name %q: "+
			"write the import path and the interface, as in example.com/shop/cart/Cart", s)
	case !isIdentifier(iface):
		return "", fmt.Errorf("invalid component name %q: %q is not the name of an interface", s, iface)
	case strings.ContainsFunc(path, unfitForPath) || strings.Contains("/"+path+"/", "//"):
		return "", fmt.Errorf("invalid component name %q: %q is not an import path", s, path)
	}
	if strings.ContainsRune(s, '#') {
		if err := CheckLabel(c.Impl()); err != nil {
			return "", fmt.Errorf("invalid component name %q: %w", s, err)
		}
	}
	return c, nil
}

// Interface returns the name without that of an implementation.
func (c Component) Interface() Component {
	iface, _, _ := strings.Cut(string(c), "#")
	return Component(iface)
}

// Impl returns the name of the implementation, or "" for the only one.
func (c Component) Impl() string {
	_, impl, _ := strings.Cut(string(c), "#")
	return impl
}

// Short returns the name of a component in the form for people: "example.com/shop/cart/Cart#fast" is
// "cart.Cart#fast", a major version in the path is passed over, and Main is "main". Two components
// may share it.
func Short(component string) string {
	c := Component(component)
	if c == Main {
		return "main"
	}
	parts := strings.Split(string(c.Interface()), "/")
	n := len(parts)
	if n < 2 {
		return component
	}
	pkg := parts[n-2]
	if n > 3 && isMajorVersion(pkg) {
		pkg = parts[n-3]
	}
	return pkg + "." + parts[n-1] + string(c[len(c.Interface()):])
}

func isMajorVersion(s string) bool {
	digits, ok := strings.CutPrefix(s, "v")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// unfitForPath leaves out what Go forbids in import paths and what would break a line or a key.
func unfitForPath(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune("!\"#$%&'()*,:;<=>?[\\]^`{|}\uFFFD", r)
}
