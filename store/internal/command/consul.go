package command

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/divisi-go/divisi/store"
	"github.com/divisi-go/divisi/store/consulapi"
)

// consulOps is how many operations the largest transaction of Consul's API may need: it has 128, and each writes a key, what
// Consul knows of it, and who holds it.
const consulOps = 512

// listenConsul listens for clients of Consul's API; where there is no address, it returns nil.
func listenConsul(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at --consul-addr %s: %w", address, err)
	}
	at, is := l.Addr().(*net.TCPAddr)
	if !is || !at.IP.IsLoopback() {
		return nil, errors.Join(l.Close(), fmt.Errorf(
			"cannot serve Consul's API at %s: whoever reaches it may do everything, so give an address of this host alone, as 127.0.0.1:8500", address))
	}
	return l, nil
}

// serveAll serves the store's own API, and Consul's where there is a listener for it, until the context ends or one of
// them fails.
func (m *served) serveAll(ctx context.Context, s *store.Store) error {
	if m.consuls == nil {
		return s.Serve(ctx, m.listener, m.config)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- consulapi.New(s.Client(), consulapi.Options{Logger: m.options.Logger}).Serve(ctx, m.consuls)
		cancel()
	}()
	err := s.Serve(ctx, m.listener, m.config)
	cancel()
	return errors.Join(err, <-ended)
}
