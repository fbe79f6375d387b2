// Package zone answers by DNS which servers are ready, and where they listen.
package zone

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/divisi-go/divisi/internal/keeper/lookup"
	"github.com/divisi-go/divisi/internal/name"
)

const (
	// apex is what all names end with.
	apex = "divisi."

	// ttl is how long an answer may be kept, in seconds, be it that there is nothing.
	ttl = 1
)

// zone is what the names of one list of servers mean. It never changes.
//
//   - A server web-0@/shop/eu that plays the role web is web-0.eu.shop.divisi. and web-0.web.eu.shop.divisi., and one of
//     web.eu.shop.divisi., web.shop.divisi. and web.divisi.: a role in a domain is also in those above.
//   - Below each of these names, _http._tcp is the socket of the name http.
//   - Names are in small letters, and every name above one that is there is there.
type zone struct {
	names map[string][]*member
}

// member is a server with what there is to say of it.
type member struct {
	found   lookup.Found
	target  string // its own name
	sockets []socket
}

// socket is one that DNS can name.
type socket struct {
	name string // in small letters
	at   netip.AddrPort
}

// newZone returns the zone of a list of servers. Sockets that listen at all addresses of the host are at self.
func newZone(list []lookup.Found, self netip.Addr) *zone {
	z := &zone{names: map[string][]*member{apex: nil}}
	for _, f := range list {
		server, err := name.ParseServer(f.Server)
		if err != nil {
			continue // no keeper has such a one
		}
		domains := domainsOf(server.Domain)
		domain := domains[len(domains)-1]
		m := &member{found: f, target: targetOf(server), sockets: named(f.Sockets, self)}
		z.add(m.target, m)
		for _, role := range f.Roles {
			z.add(label(server.Name)+"."+label(role)+"."+domain, m)
			for _, in := range domains {
				z.add(label(role)+"."+in, m)
			}
		}
	}
	return z
}

// domainsOf returns the names of a domain and of those above it, which come first.
func domainsOf(path string) []string {
	all := []string{apex}
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if part != "" {
			all = append(all, label(part)+"."+all[len(all)-1])
		}
	}
	return all
}

// targetOf returns the name of one server.
func targetOf(s name.Server) string {
	domains := domainsOf(s.Domain)
	return label(s.Name) + "." + domains[len(domains)-1]
}

// label writes a part of a name as DNS does.
func label(part string) string {
	return strings.ReplaceAll(strings.ToLower(part), ".", `\.`)
}

func named(list []lookup.Socket, self netip.Addr) (sockets []socket) {
	for _, s := range list {
		at, err := netip.ParseAddrPort(s.Address)
		if err != nil {
			continue // a path
		}
		if at.Addr().IsUnspecified() {
			at = netip.AddrPortFrom(self, at.Port())
		}
		sockets = append(sockets, socket{label(s.Name), netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())})
	}
	return sockets
}

// add has a member at a name. One that DNS cannot have, with a part that is too long, is left out.
func (z *zone) add(at string, m *member) {
	if _, ok := dns.IsDomainName(at); !ok || slices.Contains(z.names[at], m) {
		return
	}
	z.names[at] = append(z.names[at], m)
	for next, end := dns.NextLabel(at, 0); !end; next, end = dns.NextLabel(at, next) {
		if _, ok := z.names[at[next:]]; !ok {
			z.names[at[next:]] = nil
		}
	}
}

// reply is what there is to say to a question.
type reply struct {
	code                  int
	answer, beside, about []dns.RR // about says why there is no answer
}

// ask answers a question. The turn says with which server the answer begins.
func (z *zone) ask(q dns.Question, turn int) reply {
	asked := strings.ToLower(q.Name)
	if q.Qclass != dns.ClassINET || !dns.IsSubDomain(apex, asked) {
		return reply{code: dns.RcodeRefused}
	}
	at, of, isSocket := service(asked)
	members, there := z.names[at]
	if isSocket {
		members = slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return !m.has(of) })
		there = len(members) > 0
	}
	if !there {
		return reply{code: dns.RcodeNameError, about: []dns.RR{authority()}}
	}

	var r reply
	for i := range members {
		m := members[(i+turn)%len(members)]
		switch q.Qtype {
		case dns.TypeA, dns.TypeAAAA:
			if !isSocket {
				r.answer = m.addresses(r.answer, q.Name, q.Qtype)
			}
		case dns.TypeSRV:
			r.answer = m.services(r.answer, q.Name, of)
			r.beside = m.addresses(r.beside, m.target, dns.TypeA)
			r.beside = m.addresses(r.beside, m.target, dns.TypeAAAA)
		case dns.TypeTXT:
			if !isSocket {
				r.answer = append(r.answer, &dns.TXT{Hdr: header(q.Name, dns.TypeTXT), Txt: m.text()})
			}
		}
	}
	switch {
	case q.Qtype == dns.TypeANY:
		r.answer = []dns.RR{&dns.HINFO{Hdr: header(q.Name, dns.TypeHINFO), Cpu: "RFC8482"}}
	case asked == apex && q.Qtype == dns.TypeSOA:
		r.answer = []dns.RR{authority()}
	case asked == apex && q.Qtype == dns.TypeNS:
		r.answer = []dns.RR{&dns.NS{Hdr: header(apex, dns.TypeNS), Ns: authority().Ns}}
	}
	if len(r.answer) == 0 {
		r.about = []dns.RR{authority()}
	}
	return r
}

// service takes a name apart that begins with that of a socket, as _http._tcp.
func service(asked string) (at, socket string, ok bool) {
	first, rest, _ := strings.Cut(asked, "._tcp.")
	socket, ok = strings.CutPrefix(first, "_")
	if !ok || rest == "" {
		return asked, "", false
	}
	return rest, socket, true
}

func (m *member) has(of string) bool {
	return slices.ContainsFunc(m.sockets, func(s socket) bool { return s.name == of })
}

// addresses adds the addresses of a kind, each once.
func (m *member) addresses(to []dns.RR, as string, kind uint16) []dns.RR {
	for _, s := range m.sockets {
		var a dns.RR = &dns.AAAA{Hdr: header(as, dns.TypeAAAA), AAAA: s.at.Addr().AsSlice()}
		if s.at.Addr().Is4() {
			a = &dns.A{Hdr: header(as, dns.TypeA), A: s.at.Addr().AsSlice()}
		}
		isThere := func(other dns.RR) bool { return dns.IsDuplicate(a, other) }
		if a.Header().Rrtype == kind && !slices.ContainsFunc(to, isThere) {
			to = append(to, a)
		}
	}
	return to
}

// services adds the sockets of a name, or all.
func (m *member) services(to []dns.RR, as, of string) []dns.RR {
	for _, s := range m.sockets {
		if of == "" || of == s.name {
			to = append(to, &dns.SRV{Hdr: header(as, dns.TypeSRV), Priority: 1, Weight: 1, Port: s.at.Port(), Target: m.target})
		}
	}
	return to
}

// maxText is how long a string of a TXT record may be.
const maxText = 255

// text returns what a server is, with sockets that have no address as well.
func (m *member) text() []string {
	list := []string{"server=" + m.found.Server, "roles=" + strings.Join(m.found.Roles, ",")}
	for _, s := range m.found.Sockets {
		list = append(list, s.Name+"="+s.Address)
	}
	for i := range list {
		list[i] = list[i][:min(len(list[i]), maxText)]
	}
	return list
}

func header(as string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: as, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// authority returns the record by which a resolver knows how long it may keep that there is nothing.
func authority() *dns.SOA {
	return &dns.SOA{
		Hdr: header(apex, dns.TypeSOA), Ns: "ns." + apex, Mbox: "nobody." + apex,
		Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: ttl,
	}
}
