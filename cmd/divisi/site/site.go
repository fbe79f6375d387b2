// Package site has the command that serves a site.
package site

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/discover"
	"github.com/divisi-go/divisi/serve"
)

// The variables that an ensemble gives to its servers, see docs/ensembles.md.
const (
	configVariable = "DIVISI_CONFIG"
	serverVariable = "DIVISI_SERVER"
)

// Command returns the command.
func Command(shared *console.Console) *cobra.Command {
	c := command{said: defaults(), server: os.Getenv(serverVariable)}
	var file string
	cmd := &cobra.Command{
		Use:   "httpd [--root DIR] [--handler PATH=ADDRESS]...",
		Short: "Serve the files of a folder, servlets among them, and programs below paths",
		Long: "Serve the files of a folder, and programs that speak HTTP below paths of their own. It ends in order: what was\n" +
			"accepted is answered. As a server under the keeper, or of a systemd socket, it is restarted without a refused\n" +
			"connection; several of them may share one port.\n\n" +
			"Servlets are files in the folder that are programs: WebAssembly modules of WASI preview 1, which speak CGI. Each\n" +
			"request has an instance of its own, without files and network, whose time and memory are bounded.\n\n" +
			"What flags say, a file can say as well, by keys of the same names: that of --config, or else of the variable\n" +
			"DIVISI_CONFIG. It is followed: what changes in it is so from the next request on, but for what wants a restart.\n" +
			"A flag has the last word.",
		Example: "  divisi httpd --root www\n" +
			"  divisi httpd --root www --handler /api=http://localhost:9000 --handler /chat=unix:/run/chat.sock\n" +
			"  divisi httpd --root www --servlets --servlet-env GREETING=hello\n" +
			"  divisi httpd --config httpd.toml\n" +
			"  divisi start web-0@/site --share httpd=:8080 -- divisi httpd --root $PWD/www --name web-0",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("config") {
				file = os.Getenv(configVariable)
			}
			return serveSite(cmd.Context(), shared, c, file)
		},
	}
	c.flags = cmd.Flags()
	c.said.define(c.flags)
	c.flags.StringVar(&file, "config", "", "TOML file with the same keys, which is followed (default that of DIVISI_CONFIG)")
	return cmd
}

// begin reads the options for the first time.
func (c command) begin(ctx context.Context, file string) (options, error) {
	if file == "" {
		return c.read("", "")
	}
	data, err := discover.File(file).Get(ctx, "")
	if err != nil {
		return options{}, fmt.Errorf("cannot read the configuration: %w", err)
	}
	o, err := c.decode(file, data)
	if errors.Is(err, fs.ErrNotExist) {
		return o, console.Failure("name another file with --config", "cannot read the configuration %s: %w", file, err)
	}
	return o, err
}

// serveSite serves until the context ends.
func serveSite(ctx context.Context, shared *console.Console, c command, file string) error {
	o, err := c.begin(ctx, file)
	if err != nil {
		return err
	}
	l := &live{command: c, file: file, out: shared.Out, log: slog.New(slog.NewTextHandler(shared.Err, nil))}
	first, err := l.generation(o, nil)
	if err != nil {
		return err
	}
	l.current.Store(first)
	defer func() { l.leave(l.current.Load()) }()
	members, err := l.members(first)
	if err != nil {
		return err
	}
	if file != "" {
		members = append(members, serve.Func(l.follow))
	}
	// Little is kept, and requests leave megabytes of garbage behind in a second, so it would be collected all the time. This
	// is never touched, and so takes no memory, but has as much garbage wait.
	heap := make([]byte, 16<<20)
	defer runtime.KeepAlive(heap)
	return serve.Run(ctx, members...)
}

// members returns the servers that a process consists of, which listen.
func (l *live) members(first *generation) ([]serve.Member, error) {
	at, err := serve.Listener("httpd", first.Listen)
	if err != nil {
		return nil, console.Failure("choose another address with --listen", "cannot listen at %s: %w", first.Listen, err)
	}
	server := first.site.Server()
	server.Handler = l
	scheme := "http"
	if first.cert != nil {
		server.TLSConfig = &tls.Config{GetCertificate: l.certificate, MinVersion: tls.VersionTLS12}
		scheme = "https"
	}
	members := []serve.Member{serve.Server(at, server)}
	if first.Status != "" {
		page, err := net.Listen("tcp", first.Status)
		if err != nil {
			return nil, console.Failure("choose another address with --status", "cannot listen at %s: %w", first.Status, err)
		}
		asked := &http.Server{Handler: l.page(first.site, time.Now()), ReadHeaderTimeout: first.Patience}
		members = append([]serve.Member{serve.Server(page, asked)}, members...)
	}
	l.log.Info("serving", "root", first.Root, "url", scheme+"://"+at.Addr().String())
	return members, nil
}
