package zone

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/divisi-go/divisi/internal/keeper/lookup"
)

func tcp(name, address string) lookup.Socket {
	return lookup.Socket{Name: name, Network: "tcp", Address: address}
}

var servers = []lookup.Found{
	{Server: "db@/shop", Roles: []string{"db"}, Sockets: []lookup.Socket{{Name: "db", Network: "unix", Address: "/run/db.sock"}, tcp("admin", "[2001:db8::1]:99")}},
	{Server: "web-0@/shop/eu", Roles: []string{"web", "front"}, Sockets: []lookup.Socket{tcp("http", "[::]:8080"), tcp("grpc", "127.0.0.2:9090")}},
	{Server: "web-1@/shop/eu", Roles: []string{"web"}, Sockets: []lookup.Socket{tcp("http", "192.0.2.1:8080")}},
	{Server: "Main.v1-0@/", Sockets: []lookup.Socket{tcp("web", "127.0.0.1:1")}},
	{Server: strings.Repeat("x", 64) + "@/shop", Roles: []string{"long"}, Sockets: []lookup.Socket{tcp("http", "127.0.0.1:2")}},
}

// TestAsk: what is answered to each question; a line is a record without what all have.
func TestAsk(t *testing.T) {
	z := newZone(servers, netip.MustParseAddr("127.0.0.1"))
	const none, nowhere = "NOERROR", "NXDOMAIN"
	for question, want := range map[string]string{
		"A web-0.eu.shop.divisi.":                        "A 127.0.0.1; A 127.0.0.2",
		"A WEB-0.eu.Shop.divisi.":                        "A 127.0.0.1; A 127.0.0.2",
		"A web-0.web.eu.shop.divisi.":                    "A 127.0.0.1; A 127.0.0.2",
		"A web-0.front.eu.shop.divisi.":                  "A 127.0.0.1; A 127.0.0.2",
		"A web.eu.shop.divisi.":                          "A 127.0.0.1; A 127.0.0.2; A 192.0.2.1",
		"A web.shop.divisi.":                             "A 127.0.0.1; A 127.0.0.2; A 192.0.2.1",
		"A web.divisi.":                                  "A 127.0.0.1; A 127.0.0.2; A 192.0.2.1",
		"A front.divisi.":                                "A 127.0.0.1; A 127.0.0.2",
		"AAAA web.divisi.":                               none,
		"AAAA db.shop.divisi.":                           "AAAA 2001:db8::1",
		"A db.divisi.":                                   none,
		"A web-0.shop.divisi.":                           nowhere, // it is in /shop/eu
		"A web-0.divisi.":                                nowhere,
		"A web.us.shop.divisi.":                          nowhere,
		"A eu.shop.divisi.":                              none, // a domain
		"A divisi.":                                      none,
		"A example.com.":                                 "REFUSED",
		"A notdivisi.":                                   "REFUSED",
		"A .":                                            "REFUSED",
		"SRV web.shop.divisi.":                           "SRV 8080 web-0.eu.shop.divisi.; SRV 9090 web-0.eu.shop.divisi.; SRV 8080 web-1.eu.shop.divisi.",
		"SRV _http._tcp.web.shop.divisi.":                "SRV 8080 web-0.eu.shop.divisi.; SRV 8080 web-1.eu.shop.divisi.",
		"SRV _grpc._tcp.web.shop.divisi.":                "SRV 9090 web-0.eu.shop.divisi.",
		"SRV _http._tcp.web-1.eu.shop.divisi.":           "SRV 8080 web-1.eu.shop.divisi.",
		"SRV _none._tcp.web.shop.divisi.":                nowhere,
		"SRV _http._udp.web.shop.divisi.":                nowhere,
		"A _http._tcp.web.shop.divisi.":                  none,
		"TXT db.shop.divisi.":                            `TXT "server=db@/shop" "roles=db" "db=/run/db.sock" "admin=[2001:db8::1]:99"`,
		`A main\.v1-0.divisi.`:                           "A 127.0.0.1",
		"A main.v1-0.divisi.":                            nowhere,
		"A long.shop.divisi.":                            "A 127.0.0.1",
		"SOA divisi.":                                    "SOA ns.divisi. nobody.divisi. 1 60 60 60 1",
		"NS divisi.":                                     "NS ns.divisi.",
		"MX web.divisi.":                                 none,
		"ANY web.divisi.":                                `HINFO "RFC8482" ""`,
		"A " + strings.Repeat("a.", 100) + "web.divisi.": nowhere,
	} {
		kind, asked, _ := strings.Cut(question, " ")
		r := z.ask(dns.Question{Name: asked, Qtype: dns.StringToType[kind], Qclass: dns.ClassINET}, 0)
		var lines []string
		for _, rr := range r.answer {
			fields := strings.SplitN(rr.String(), "\t", 5)
			lines = append(lines, strings.TrimPrefix(fields[3]+" "+strings.TrimPrefix(fields[4], "1 1 "), ""))
		}
		got := strings.Join(lines, "; ")
		if got == "" {
			got = dns.RcodeToString[r.code]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
		if (r.code == dns.RcodeNameError || got == none) != (len(r.about) == 1) {
			t.Errorf("%s: %d records say how long there is nothing", question, len(r.about))
		}
	}
	if r := z.ask(dns.Question{Name: apex, Qtype: dns.TypeA, Qclass: dns.ClassCHAOS}, 0); r.code != dns.RcodeRefused {
		t.Errorf("another class: %d", r.code)
	}
}

// TestTurns: each server comes first in turn, and addresses come with those who have ports.
func TestTurns(t *testing.T) {
	z := newZone(servers, netip.MustParseAddr("127.0.0.1"))
	var firsts []string
	for turn := range 4 {
		r := z.ask(dns.Question{Name: "_http._tcp.web.divisi.", Qtype: dns.TypeSRV, Qclass: dns.ClassINET}, turn)
		firsts = append(firsts, r.answer[0].(*dns.SRV).Target)
		if len(r.beside) != 3 {
			t.Errorf("%d addresses come with it: %v", len(r.beside), r.beside)
		}
	}
	if !slices.Equal(firsts, []string{"web-0.eu.shop.divisi.", "web-1.eu.shop.divisi.", "web-0.eu.shop.divisi.", "web-1.eu.shop.divisi."}) {
		t.Errorf("first come %v", firsts)
	}
}

// FuzzAnswer: whatever a message says, the answer can be written.
func FuzzAnswer(f *testing.F) {
	for _, kind := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeTXT, dns.TypeANY} {
		m := new(dns.Msg).SetQuestion("_http._tcp.web.shop.divisi.", kind)
		m.SetEdns0(4096, false)
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	s := &server{}
	s.current.Store(&known{zone: newZone(servers, netip.MustParseAddr("127.0.0.1"))})
	f.Fuzz(func(t *testing.T, wire []byte) {
		var asked dns.Msg
		if asked.Unpack(wire) != nil {
			return
		}
		if _, err := s.answer(&asked).Pack(); err != nil {
			t.Errorf("%v: %v", &asked, err)
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	s := &server{}
	s.current.Store(&known{zone: newZone(servers, netip.MustParseAddr("127.0.0.1"))})
	asked := new(dns.Msg).SetQuestion("_http._tcp.web.shop.divisi.", dns.TypeSRV)
	for b.Loop() {
		if _, err := s.answer(asked).Pack(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServe is a question and its answer by UDP, on both sides.
func BenchmarkServe(b *testing.B) {
	datagrams, l, err := listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &server{}
	s.current.Store(&known{zone: newZone(servers, netip.MustParseAddr("127.0.0.1"))})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, datagrams, l) }()
	conn, err := net.Dial("udp", datagrams.LocalAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	wire, err := new(dns.Msg).SetQuestion("_http._tcp.web.shop.divisi.", dns.TypeSRV).Pack()
	if err != nil {
		b.Fatal(err)
	}
	answer := make([]byte, maxDatagram)
	for b.Loop() {
		_, err := conn.Write(wire)
		if err == nil {
			_, err = conn.Read(answer)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}
