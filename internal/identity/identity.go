// Package identity says who a process is and what it may call: an [Authority] issues the
// certificates of one deployment and recognises them, a [Leaf] is the certificate of one process, a
// [Trust] is by what that process recognises others, and [Rights] are what a process may do once it is
// recognised.
//
// No certificate ends a deployment by its age. A process asks for its next certificate when two
// thirds of the life of the last one are over, and new connections use it; connections that are
// open stay. The authority begins a new root long before the last one ends, tells everybody of it
// before it signs, and trusts the last one until its leaves have ended.
//
// No clock that is set ends a deployment either. Dates are judged by the time of the authority, which
// passes as the monotonic clock does, and which processes are told with their certificates; a process
// measures the age of its own certificate by the monotonic clock, and compares no date with a clock.
//
// No process waits for its authority to recognise another, and none needs it before its own certificate
// ends. Until then the keys of the authority may be taken over by another process; the roots of one whose
// keys are lost are trusted beside those of its successor.
package identity

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/divisi-go/divisi/internal/name"
)

// TrustDomain is that of all identities. Its roots are those of one deployment: only the process that
// runs it has their keys, and no other deployment trusts them.
const TrustDomain = "divisi"

const scheme = "spiffe"

// URI returns the identity of a server, such as "spiffe://divisi/shop/cart-0".
func URI(s name.Server) *url.URL {
	return &url.URL{Scheme: scheme, Host: TrustDomain, Path: strings.TrimSuffix(s.Domain, "/") + "/" + s.Name}
}

// ParseURI is the inverse of [URI].
func ParseURI(uri *url.URL) (name.Server, error) {
	if uri.Scheme != scheme || uri.Host != TrustDomain {
		return name.Server{}, fmt.Errorf("%q is no identity of %s://%s", uri, scheme, TrustDomain)
	}
	at := strings.LastIndexByte(uri.Path, '/')
	if at < 0 {
		return name.Server{}, fmt.Errorf("the identity %q names no server", uri)
	}
	domain := uri.Path[:at]
	if domain == "" {
		domain = "/"
	}
	server, err := name.ParseServer(uri.Path[at+1:] + "@" + domain)
	if err != nil {
		return name.Server{}, fmt.Errorf("the identity %q names no server: %w", uri, err)
	}
	if got := URI(server).String(); got != uri.String() {
		return name.Server{}, fmt.Errorf("the identity %q is written in another way than %q", uri, got)
	}
	return server, nil
}

// Rights are the components that a peer may call. Nil is no limit, for peers that are not asked
// who they are.
type Rights struct{ components map[string]bool }

// NewRights returns the rights to call some components, and no other.
func NewRights(components []string) *Rights {
	r := &Rights{components: make(map[string]bool, len(components))}
	for _, c := range components {
		r.components[c] = true
	}
	return r
}

// May reports whether a peer with these rights may call a component.
func (r *Rights) May(component string) bool {
	return r == nil || r.components[component]
}
