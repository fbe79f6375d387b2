package zone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/divisi-go/divisi/internal/keeper/lookup"
)

const (
	// maxDatagram bounds an answer by UDP, so that no network has to take it apart.
	maxDatagram = 1232

	// remembers is how long the last list of servers is believed while the keeper does not answer.
	remembers = 5 * time.Second

	// endTime is how long the questions that came may take when the server ends.
	endTime = 2 * time.Second
)

// server answers questions about the current zone.
type server struct {
	self    netip.Addr // where sockets are that listen at all addresses
	current atomic.Pointer[known]
	turn    atomic.Uint32
}

// known is what is known of the servers that there are.
type known struct {
	zone *zone
	lost time.Time // since when the keeper does not answer; zero while it does
}

// zone returns the zone to answer from, nil if nobody knows it.
func (s *server) zone() *zone {
	k := s.current.Load()
	if k == nil || !k.lost.IsZero() && time.Since(k.lost) > remembers {
		return nil
	}
	return k.zone
}

// follow keeps the zone that of what runs, until the context ends. It tells the first list of servers.
func (s *server) follow(ctx context.Context, desk lookup.Desk, first func([]lookup.Found)) error {
	return desk.Follow(ctx, everything, func(found []lookup.Found, err error) {
		before := s.current.Load()
		switch {
		case err == nil:
			s.current.Store(&known{zone: newZone(found, s.self)})
			if before == nil {
				first(found)
			}
		case before != nil && before.lost.IsZero():
			s.current.Store(&known{before.zone, time.Now()})
		}
	})
}

// everything selects all servers.
const everything = "@/..."

// ServeDNS answers a message.
func (s *server) ServeDNS(w dns.ResponseWriter, asked *dns.Msg) {
	m := s.answer(asked)
	size := dns.MaxMsgSize
	if _, datagram := w.RemoteAddr().(*net.UDPAddr); datagram {
		size = dns.MinMsgSize
		if o := asked.IsEdns0(); o != nil {
			size = max(size, min(int(o.UDPSize()), maxDatagram))
		}
	}
	m.Truncate(size)
	_ = w.WriteMsg(m) // who has asked asks again
}

func (s *server) answer(asked *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(asked)
	m.Authoritative = true
	if o := asked.IsEdns0(); o != nil {
		m.SetEdns0(maxDatagram, false)
		if o.Version() != 0 {
			m.Rcode = dns.RcodeBadVers
			return m
		}
	}
	z := s.zone()
	switch {
	case len(asked.Question) != 1:
		m.Rcode = dns.RcodeFormatError
	case z == nil:
		m.Rcode = dns.RcodeServerFailure
	default:
		r := z.ask(asked.Question[0], int(s.turn.Add(1)>>1))
		m.Rcode, m.Answer, m.Ns = r.code, r.answer, r.about
		m.Extra = append(m.Extra, r.beside...)
	}
	return m
}

// serve answers at an address, by UDP and by TCP, until the context ends.
func (s *server) serve(ctx context.Context, datagrams net.PacketConn, l net.Listener) error {
	servers := []*dns.Server{
		{PacketConn: datagrams, Handler: s},
		{Listener: l, Handler: s},
	}
	ended := make(chan error, len(servers))
	for _, one := range servers {
		go func() { ended <- one.ActivateAndServe() }()
	}
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
	}

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	for _, one := range servers {
		_ = one.ShutdownContext(last) // the error is that it has ended, or that time is over
	}
	return err
}

// listen opens an address for UDP and TCP. The port 0 is one that is free for both.
func listen(address string) (net.PacketConn, net.Listener, error) {
	const attempts = 20
	var failed error
	for range attempts {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, nil, err
		}
		datagrams, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return datagrams, l, nil
		}
		l.Close()
		failed = err
		if _, port, _ := net.SplitHostPort(address); port != "0" {
			break
		}
	}
	return nil, nil, failed
}

// selfOf returns where sockets are that listen at all addresses: where this server listens, or this machine.
func selfOf(l net.Listener) (netip.Addr, error) {
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("it listens at %v", l.Addr())
	}
	self := at.AddrPort().Addr().Unmap()
	if self.IsUnspecified() {
		return netip.Addr{}, errors.New("it listens at all addresses of this machine, so it does not know which one to answer with")
	}
	return self, nil
}
