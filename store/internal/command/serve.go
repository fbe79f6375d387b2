package command

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/store"
)

// serveStore serves a store until the context ends, or a supervisor or a person wants its end.
func serveStore(ctx context.Context, c *call) error {
	var o store.Options
	var secure encryption
	var compaction compaction
	c.flags.StringVar(&o.Dir, "data", "", "the data `folder`; an empty or missing one begins a new store")
	listen := c.flags.String("listen", "localhost:2379", "the `address` that clients connect to, HOST:PORT or unix:///PATH, unless a socket \"store\" is inherited")
	c.flags.StringVar(&o.Name, "name", "default", "what the member is called")
	c.flags.Int64Var(&o.Quota, "quota", 2<<30, "how many `bytes` the database may have")
	c.flags.StringVar(&compaction.mode, "auto-compaction-mode", "periodic", "what the past is measured by: periodic, or `revision`")
	c.flags.StringVar(&compaction.retention, "auto-compaction-retention", "0",
		"how much of the past of keys is kept: a time, as 30m, or a number of hours, or of `revisions`; 0 keeps all of it")
	secure.define(c)
	c.flags.BoolVar(&o.CertUsers, "tls-users", false, "take the common name in a client's certificate as its user")
	c.flags.StringVar(&o.Tokens, "tokens", "simple", "how users are recognised after they gave their password: `simple`, or what etcd knows as --auth-token")
	consul := c.flags.String("consul-addr", "", "the `address` at which Consul's API is served as well, as 127.0.0.1:8500")
	verbose := c.flags.Bool("verbose", false, "say more of what happens")
	err := c.parse(0, 0)
	if err != nil {
		return err
	}
	if o.Dir == "" {
		return errors.New("cannot serve a store without a folder: give one with --data")
	}
	if o.CertUsers && secure.clients == "" {
		return errors.New("cannot take users from certificates that nobody checks: say who signs them with --tls-client-ca")
	}
	o.Retention, o.ByRevision, err = compaction.read()
	if err != nil {
		return err
	}
	config, err := secure.config()
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	o.Logger = slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: level}))

	l, err := serve.Listener("store", *listen)
	if err != nil {
		return fmt.Errorf("%w: choose another address with --listen", err)
	}
	consuls, err := listenConsul(*consul)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if consuls != nil {
		o.MaxTxnOps = consulOps
	}
	return serve.Run(ctx, &served{options: o, listener: l, config: config, consuls: consuls, out: c.stdout, ready: make(chan struct{})})
}

// served is a store that is served. It is ready when it answers.
type served struct {
	options  store.Options
	listener net.Listener
	config   *tls.Config
	consuls  net.Listener // where Consul's API is served, nil if nowhere
	out      io.Writer
	ready    chan struct{} // closed when it answers
}

// Serve implements [serve.Member]. Who connects meanwhile waits.
func (m *served) Serve(ctx context.Context) error {
	url := urlOf(m.listener.Addr(), m.config != nil)
	m.options.ClientURLs = []string{url}
	s, err := store.Open(ctx, m.options)
	if err != nil {
		return errors.Join(err, m.listener.Close())
	}
	if m.consuls != nil {
		fmt.Fprintf(m.out, "ready to serve Consul's API at http://%s\n", m.consuls.Addr())
	}
	fmt.Fprintf(m.out, "ready to serve client requests at %s\n", url)
	close(m.ready)
	err = m.serveAll(ctx, s)
	return errors.Join(err, s.Close())
}

// Ready returns when the store answers.
func (m *served) Ready(ctx context.Context) error {
	select {
	case <-m.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *served) String() string { return "the store in " + m.options.Dir }

// urlOf returns how clients call an address.
func urlOf(address net.Addr, encrypted bool) string {
	scheme, secure := "http://", "https://"
	if address.Network() == "unix" {
		scheme, secure = "unix:", "unixs:"
	}
	if encrypted {
		scheme = secure
	}
	return scheme + address.String()
}

// compaction is what the --auto-compaction flags say, as etcd's do.
type compaction struct{ mode, retention string }

func (c compaction) read() (retention time.Duration, byRevision bool, err error) {
	number, wrong := strconv.ParseInt(c.retention, 10, 64)
	switch {
	case c.mode == "revision":
		if wrong != nil || number < 0 {
			return 0, true, fmt.Errorf("cannot use --auto-compaction-retention %q: it is no number of revisions", c.retention)
		}
		return time.Duration(number), true, nil
	case c.mode != "periodic":
		return 0, false, fmt.Errorf("cannot use --auto-compaction-mode %q: it is periodic or revision", c.mode)
	case wrong == nil:
		retention = time.Duration(number) * time.Hour
	default:
		retention, err = time.ParseDuration(c.retention)
	}
	if err != nil || retention < 0 {
		return 0, false, fmt.Errorf("cannot use --auto-compaction-retention %q: it is no time, as 30m, and no number of hours", c.retention)
	}
	return retention, false, nil
}

// encryption is the files that --tls flags name.
type encryption struct{ cert, key, clients string }

func (e *encryption) define(c *call) {
	c.flags.StringVar(&e.cert, "tls-cert", "", "the `file` with the certificate; connections are encrypted with it")
	c.flags.StringVar(&e.key, "tls-key", "", "the `file` with the key of the certificate")
	c.flags.StringVar(&e.clients, "tls-client-ca", "", "the `file` with who may sign certificates of clients, which need one then")
}

func (e *encryption) config() (*tls.Config, error) {
	if cmp.Or(e.cert, e.key, e.clients) == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(e.cert, e.key)
	if err != nil {
		return nil, fmt.Errorf("cannot use --tls-cert %q and --tls-key %q: %w", e.cert, e.key, err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if e.clients == "" {
		return config, nil
	}
	text, err := os.ReadFile(e.clients)
	if err != nil {
		return nil, fmt.Errorf("cannot use --tls-client-ca: %w", err)
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("cannot use --tls-client-ca %q: it has no certificate in PEM", e.clients)
	}
	return config, nil
}
