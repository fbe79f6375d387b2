package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/divisi-go/divisi/store"
)

// serve serves a store until the context ends.
func serve(ctx context.Context, c *call) error {
	var o store.Options
	var secure encryption
	c.flags.StringVar(&o.Dir, "data", "", "the data `folder`; an empty or missing one begins a new store")
	listen := c.flags.String("listen", "localhost:2379", "the `address` that clients connect to")
	c.flags.StringVar(&o.Name, "name", "default", "what the member is called")
	c.flags.Int64Var(&o.Quota, "quota", 2<<30, "how many `bytes` the database may have")
	c.flags.DurationVar(&o.Retention, "auto-compaction-retention", 0, "how long the past of keys is kept; 0 keeps all of it")
	revisions := c.flags.Int64("auto-compaction-revisions", 0, "how many revisions of the past are kept; 0 keeps all")
	c.flags.StringVar(&secure.cert, "tls-cert", "", "the `file` with the certificate; connections are encrypted with it")
	c.flags.StringVar(&secure.key, "tls-key", "", "the `file` with the key of the certificate")
	c.flags.StringVar(&secure.clients, "tls-client-ca", "", "the `file` with who may sign certificates of clients, which need one then")
	c.flags.BoolVar(&o.CertUsers, "tls-users", false, "take the name in a client's certificate as its user")
	verbose := c.flags.Bool("verbose", false, "say more of what happens")
	err := c.parse(0, 0)
	if err != nil {
		return err
	}
	if o.Dir == "" {
		return errors.New("cannot serve a store without a folder: give one with --data")
	}
	if *revisions != 0 && o.Retention != 0 {
		return errors.New("cannot keep both a time and a number of revisions: give one of --auto-compaction-retention and --auto-compaction-revisions")
	}
	if *revisions != 0 {
		o.ByRevision, o.Retention = true, time.Duration(*revisions)
	}
	config, err := secure.config()
	if err != nil {
		return err
	}

	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %w", *listen, err)
	}
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	url := scheme + "://" + l.Addr().String()
	o.ClientURLs = []string{url}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	o.Logger = slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: level}))

	s, err := store.Open(ctx, o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	fmt.Fprintf(c.stdout, "ready to serve client requests at %s\n", url)
	served := s.Serve(ctx, l, config)
	return errors.Join(served, s.Close())
}

// encryption is the files that --tls flags name.
type encryption struct{ cert, key, clients string }

func (e encryption) config() (*tls.Config, error) {
	if e.cert == "" && e.key == "" && e.clients == "" {
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
