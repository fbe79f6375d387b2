package zone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/keeper/lookup"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/notify"
)

// Command returns the command.
func Command(shared *console.Console) *cobra.Command {
	var address, self string
	cmd := &cobra.Command{
		Use:   "dns [--listen ADDRESS]",
		Short: "Answer by DNS which servers are ready, and where they listen",
		Long: "Answer by DNS which servers are ready, and where they listen, as divisi lookup does: by UDP and TCP, until it is\n" +
			"interrupted. A server web-0@/shop/eu that plays the role web is\n\n" +
			"  web-0.eu.shop.divisi.      by its name\n" +
			"  web.eu.shop.divisi.        by its role, beside others; also web.shop.divisi. and web.divisi.\n" +
			"  _http._tcp.web.divisi.     its socket named http, with the port (SRV)\n\n" +
			"A and AAAA have addresses, SRV ports as well, TXT also sockets that are paths. Answers are good for a second.",
		Example: "  divisi dns\n  dig @127.0.0.1 -p 8600 +short SRV web.shop.divisi.\n" +
			"  divisi start dns --ready notify -- divisi dns",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), shared, address, self)
		},
	}
	cmd.Flags().StringVar(&address, "listen", "127.0.0.1:8600", "address to listen at")
	cmd.Flags().StringVar(&self, "address", "", "where sockets are that listen at all addresses of this machine (default that of --listen)")
	return cmd
}

func run(ctx context.Context, c *console.Console, address, self string) error {
	datagrams, l, err := listen(address)
	if err != nil {
		return console.Failure("choose another address: --listen 127.0.0.1:0", "cannot answer by DNS: %w", err)
	}
	at, err := selfOf(l)
	if self != "" {
		at, err = netip.ParseAddr(self)
	}
	if err != nil {
		l.Close()
		datagrams.Close()
		return console.Failure("name one: --address 192.0.2.1", "cannot answer by DNS: %w", err)
	}
	desk, err := lookup.Here()
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &server{self: at}
	fmt.Fprintf(c.Out, "divisi dns answers at %s\n", l.Addr())
	go func() {
		cancel(s.follow(ctx, desk, func(found []lookup.Found) {
			_ = notify.Parent().Send(notify.Ready) // who has started this process need not be listening
			fmt.Fprintf(c.Out, "  dig @%s -p %d SRV %s\n", at, l.Addr().(*net.TCPAddr).Port, example(found))
		}))
	}()
	err = s.serve(ctx, datagrams, l)
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("cannot go on answering by DNS: %w", err)
	}
	return nil
}

// example returns a name to ask for: that of the first server with a socket.
func example(list []lookup.Found) string {
	for _, f := range list {
		server, err := name.ParseServer(f.Server)
		if err == nil && len(f.Sockets) > 0 {
			return targetOf(server)
		}
	}
	return apex
}
