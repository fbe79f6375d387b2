// Package site has the command that serves a site.
package site

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/httpd"
	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/servlet"
)

// options are the flags.
type options struct {
	root, listen, name, log, status string
	handlers                        []string
	cert, key                       string
	patience, limit                 time.Duration
	bodyMax                         int64
	connections                     int

	servlets      bool
	servletEnv    []string
	servletLimit  time.Duration
	servletMemory int64
}

// Command returns the command.
func Command(shared *console.Console) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "httpd [--root DIR] [--handler PATH=ADDRESS]...",
		Short: "Serve the files of a folder, servlets among them, and programs below paths",
		Long: "Serve the files of a folder, and programs that speak HTTP below paths of their own. It ends in order: what was\n" +
			"accepted is answered. As a server under the keeper, or of a systemd socket, it is restarted without a refused\n" +
			"connection; several of them may share one port.\n\n" +
			"Servlets are files in the folder that are programs: WebAssembly modules of WASI preview 1, which speak CGI. Each\n" +
			"request has an instance of its own, without files and network, whose time and memory are bounded.",
		Example: "  divisi httpd --root www\n" +
			"  divisi httpd --root www --handler /api=http://localhost:9000 --handler /chat=unix:/run/chat.sock\n" +
			"  divisi httpd --root www --servlets --servlet-env GREETING=hello\n" +
			"  divisi start web-0@/site --share httpd=:8080 -- divisi httpd --root $PWD/www --name web-0",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serveSite(cmd.Context(), shared, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.root, "root", "www", "the folder; nothing outside of it is served, nor what begins with a dot")
	f.StringVar(&o.listen, "listen", "localhost:8080", "where to listen, unless the parent holds a socket called httpd")
	f.StringArrayVar(&o.handlers, "handler", nil, "PATH=ADDRESS of a program: http://HOST:PORT, https://HOST:PORT or unix:PATH")
	f.DurationVar(&o.limit, "handler-timeout", time.Minute, "how long a program may take until its answer begins; 0: for ever")
	f.StringVar(&o.name, "name", "", "of this server, for the header X-Served-By of its answers")
	f.StringVar(&o.log, "access-log", "-", "file of the access log, in the combined format; - for the standard output, none for none")
	f.StringVar(&o.status, "status", "", "HOST:PORT where /metrics and a page about the server are; who can connect can read them")
	f.StringVar(&o.cert, "tls-cert", "", "file of the certificate, and of those that lead to its root; has --listen speak HTTPS")
	f.StringVar(&o.key, "tls-key", "", "file of the certificate's key")
	f.DurationVar(&o.patience, "patience", 30*time.Second, "how long a client may take for the header of a request, and for the next bytes of a body")
	f.Int64Var(&o.bodyMax, "body-max", 64<<20, "longest body of a request, in bytes")
	f.IntVar(&o.connections, "connections-max", 4096, "connections at once; a new one more takes the place of that on which nothing is asked for the longest")
	f.BoolVar(&o.servlets, "servlets", false, "run files whose names end with .wasm, in the place of sending them")
	f.StringArrayVar(&o.servletEnv, "servlet-env", nil, "NAME=VALUE, a variable of servlets")
	f.DurationVar(&o.servletLimit, "servlet-timeout", 10*time.Second, "how long a servlet may take for an answer")
	f.Int64Var(&o.servletMemory, "servlet-memory", 64<<20, "memory that a servlet may have for an answer, in bytes")
	return cmd
}

// serveSite serves until the context ends.
func serveSite(ctx context.Context, shared *console.Console, o options) error {
	site, config, err := o.site()
	if err != nil {
		return err
	}
	defer site.Files.Close()
	servlets, err := o.runs(site.Files)
	if err != nil {
		return err
	}
	if servlets != nil {
		defer servlets.Close()
	}
	out, err := o.accessLog(shared.Out)
	if err != nil {
		return err
	}
	defer out.Close()
	if out.Writer != nil {
		site.Log = out
	}
	l, err := serve.Listener("httpd", o.listen)
	if err != nil {
		return console.Failure("choose another address with --listen", "cannot listen at %s: %w", o.listen, err)
	}

	server := site.Server()
	server.TLSConfig = config
	members := []serve.Member{serve.Server(l, server)}
	if o.status != "" {
		at, err := net.Listen("tcp", o.status)
		if err != nil {
			return console.Failure("choose another address with --status", "cannot listen at %s: %w", o.status, err)
		}
		members = append([]serve.Member{serve.Server(at, &http.Server{Handler: o.page(site, servlets, time.Now()), ReadHeaderTimeout: o.patience})}, members...)
	}
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	// Little is kept, and requests leave megabytes of garbage behind in a second, so it would be collected all the time. This
	// is never touched, and so takes no memory, but has as much garbage wait.
	heap := make([]byte, 16<<20)
	defer runtime.KeepAlive(heap)
	slog.New(slog.NewTextHandler(shared.Err, nil)).Info("serving", "root", o.root, "url", scheme+"://"+l.Addr().String())
	err = serve.Run(ctx, members...)
	site.Flush()
	return err
}

// site returns what is to be served, and with which certificates. All that the flags say is looked at before anything
// is opened.
func (o options) site() (*httpd.Site, *tls.Config, error) {
	site := &httpd.Site{Name: o.name, Patience: o.patience, BodyMax: o.bodyMax, ConnectionsMax: o.connections, Handlers: map[string]http.Handler{}}
	if o.patience <= 0 || o.bodyMax <= 0 || o.connections <= 0 || o.limit < 0 {
		return nil, nil, console.UsageError("--patience, --body-max and --connections-max are more than 0, and --handler-timeout is not less")
	}
	for _, text := range o.handlers {
		path, address, ok := strings.Cut(text, "=")
		if !ok || !strings.HasPrefix(path, "/") || path == "/" {
			return nil, nil, console.UsageError("--handler %s: write PATH=ADDRESS, with a path such as /api", text)
		}
		if site.Handlers[path] != nil {
			return nil, nil, console.UsageError("--handler %s: %s has a program already", text, path)
		}
		if socket, unix := strings.CutPrefix(address, "unix:"); unix && socket != "" {
			absolute, err := filepath.Abs(socket)
			if err != nil {
				return nil, nil, err
			}
			address = "unix:" + absolute
		}
		program, err := httpd.Program(address, o.limit)
		if err != nil {
			return nil, nil, console.UsageError("--handler %s: %v", text, err)
		}
		site.Handlers[path] = program
	}

	var config *tls.Config
	switch {
	case o.cert != "" && o.key != "":
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, nil, console.Failure("--tls-cert and --tls-key are the files of one certificate, in the PEM format",
				"cannot use the certificate %s with the key %s: %w", o.cert, o.key, err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	case o.cert != o.key:
		return nil, nil, console.UsageError("--tls-cert and --tls-key belong together")
	}

	files, err := httpd.Open(o.root)
	if err != nil {
		return nil, nil, console.Failure("name a folder with --root", "%w", err)
	}
	site.Files = files
	return site, config, nil
}

// runs has files be servlets, if there are any; else it returns nil.
func (o options) runs(files *httpd.Files) (*servlet.Servlets, error) {
	if !o.servlets {
		return nil, nil
	}
	if o.servletLimit <= 0 {
		return nil, console.UsageError("--servlet-timeout is more than 0")
	}
	env := map[string]string{}
	for _, text := range o.servletEnv {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" || strings.ContainsRune(text, 0) {
			return nil, console.UsageError("--servlet-env %s: write NAME=VALUE", text)
		}
		env[key] = value
	}
	servlets, err := servlet.New(servlet.Options{Env: env, Limit: o.servletLimit, Memory: o.servletMemory})
	if err != nil {
		return nil, console.UsageError("--servlet-memory: %w", err)
	}
	files.Servlets = servlets.Handler
	return servlets, nil
}

// output is where the access log goes.
type output struct {
	io.Writer // nil for nowhere
	file      *os.File
}

func (o output) Close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}

// accessLog opens what the access log is written to.
func (o options) accessLog(out io.Writer) (output, error) {
	switch o.log {
	case "none":
		return output{}, nil
	case "-":
		return output{Writer: out}, nil
	}
	file, err := os.OpenFile(o.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return output{}, console.Failure("name another file with --access-log, or none", "cannot keep the access log: %w", err)
	}
	return output{Writer: file, file: file}, nil
}
