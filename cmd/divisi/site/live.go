package site

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/discover"
	"github.com/divisi-go/divisi/httpd"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/notify"
	"github.com/divisi-go/divisi/servlet"
)

// live is a server whose options may change while it serves: each request is answered as they were when it came.
type live struct {
	command command
	file    string // that it follows; "" for none
	out     io.Writer
	log     *slog.Logger
	current atomic.Pointer[generation]

	mu       sync.Mutex // guards what follows
	refused  error      // why the file as it is now means nothing; nil if it means something
	restart  []string   // the keys whose values want a restart
	requests int64      // of generations that are over
	lost     uint64     // lines of their logs
}

// generation is a server with options that never change.
//
//   - users are the requests inside it, and one for whoever holds it: live while it is the current one, and the generation
//     before until that is over. So a generation ends after all before it.
//   - content and log are the next one's from the moment when that has the same.
type generation struct {
	options
	site    *httpd.Site
	content *content
	log     *output
	cert    *tls.Certificate // nil: it speaks HTTP
	users   atomic.Int64
	next    *generation // set before live lets go of this one
}

// content is a folder with what runs in it.
type content struct {
	files    *httpd.Files
	servlets *servlet.Servlets // nil for none
}

func (c *content) close() {
	_ = c.files.Close()
	if c.servlets != nil {
		_ = c.servlets.Close()
	}
}

// output is where the access log goes.
type output struct {
	io.Writer // nil for nowhere
	file      *os.File
}

func (o *output) close() {
	if o.file != nil {
		_ = o.file.Close()
	}
}

// generation opens what a server with some options needs, but for what the one before has open.
func (l *live) generation(o options, before *generation) (*generation, error) {
	g := &generation{options: o}
	g.users.Store(1)
	if o.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
		if err != nil {
			return nil, console.Failure("--tls-cert and --tls-key are the files of one certificate, in the PEM format",
				"cannot use the certificate %s with the key %s: %w", o.TLSCert, o.TLSKey, err)
		}
		g.cert = &pair
	}
	var err error
	if before != nil && before.AccessLog == o.AccessLog {
		g.log = before.log
	} else if g.log, err = o.accessLog(l.out); err != nil {
		return nil, err
	}
	if before != nil && before.sameContent(o) {
		g.content = before.content
	} else if g.content, err = o.open(); err != nil {
		if before == nil || g.log != before.log {
			g.log.close()
		}
		return nil, err
	}

	g.site = &httpd.Site{
		Files: g.content.files, Name: o.Name, Patience: o.Patience, BodyMax: o.BodyMax, ConnectionsMax: o.ConnectionsMax,
		Handlers: map[string]http.Handler{},
	}
	for path := range o.Handler {
		address, _ := o.program(path) // which check has found good
		g.site.Handlers[path], _ = httpd.Program(address, o.HandlerTimeout)
	}
	if g.log.Writer != nil {
		g.site.Log = g.log
	}
	return g, nil
}

// sameContent reports whether other options have the same folder, and run the same in it.
func (g *generation) sameContent(o options) bool {
	return g.Root == o.Root && g.Servlets == o.Servlets && g.ServletTimeout == o.ServletTimeout && g.ServletMemory == o.ServletMemory &&
		maps.Equal(g.ServletEnv, o.ServletEnv)
}

// open opens the folder.
func (o options) open() (*content, error) {
	files, err := httpd.Open(o.Root)
	if err != nil {
		return nil, console.Failure("name a folder with --root", "%w", err)
	}
	c := &content{files: files}
	if o.Servlets {
		kept, err := home.Servlets()
		if err != nil {
			kept = ""
			slog.Info("compiled servlets are not kept", "because", err)
		}
		c.servlets, err = servlet.New(servlet.Options{Env: o.ServletEnv, Limit: o.ServletTimeout, Memory: o.ServletMemory, Kept: kept})
		if err != nil {
			_ = files.Close()
			return nil, console.UsageError("--servlet-memory: %w", err)
		}
		files.Servlets = c.servlets.Handler
	}
	return c, nil
}

// accessLog opens what the access log is written to.
func (o options) accessLog(out io.Writer) (*output, error) {
	switch o.AccessLog {
	case "none":
		return &output{}, nil
	case "-":
		return &output{Writer: out}, nil
	}
	file, err := os.OpenFile(o.AccessLog, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, console.Failure("name another file with --access-log, or none", "cannot keep the access log: %w", err)
	}
	return &output{Writer: file, file: file}, nil
}

// ServeHTTP answers a request.
func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := l.enter()
	defer l.leave(g)
	g.site.ServeHTTP(w, r)
}

// enter returns the generation of the moment, which stays until it is left.
func (l *live) enter() *generation {
	for {
		g := l.current.Load()
		for n := g.users.Load(); n > 0; n = g.users.Load() {
			if g.users.CompareAndSwap(n, n+1) {
				return g
			}
		}
	}
}

// leave lets go of a generation. What only it has is closed by the last one who does.
func (l *live) leave(g *generation) {
	if g.users.Add(-1) > 0 {
		return
	}
	g.site.Flush()
	now := g.site.Status()
	l.mu.Lock()
	l.requests += now.Requests
	l.lost += now.LogLost
	l.mu.Unlock()
	if g.next == nil || g.next.content != g.content {
		g.content.close()
	}
	if g.next == nil || g.next.log != g.log {
		g.log.close()
	}
	if g.next != nil {
		l.leave(g.next)
	}
}

// certificate returns that of the moment.
func (l *live) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return l.current.Load().cert, nil
}

// follow follows the file until ctx ends. What the server cannot become is refused as what cannot be read is.
func (l *live) follow(ctx context.Context) error {
	v := discover.Value[options]{
		Source: discover.File(l.file), Name: l.file,
		Decode:   func(data discover.Data, _ options) (options, error) { return l.command.decode(l.file, data) },
		Validate: func(_, o options) error { return l.become(o) },
		OnEvent: func(e discover.Event) {
			if e.Kind == discover.Refusing || e.Kind == discover.Failing {
				l.refuse(e.Err)
			}
		},
	}
	return v.Serve(ctx)
}

// decode returns the options that a file has.
func (c command) decode(file string, data discover.Data) (options, error) {
	if len(data.Entries) != 1 {
		return options{}, os.ErrNotExist
	}
	return c.read(file, string(data.Entries[0].Value))
}

// become has the server have other options from the next request on.
func (l *live) become(o options) error {
	before := l.current.Load()
	o, keys := o.fixed(before.options)
	if !reflect.DeepEqual(o, before.options) {
		next, err := l.generation(o, before)
		if err != nil {
			return err
		}
		next.users.Add(1) // the one before
		before.next = next
		l.current.Store(next)
		l.leave(before)
		l.log.Info("the configuration has changed", "file", l.file)
	}

	l.mu.Lock()
	same := l.refused == nil && len(keys) == 0
	l.refused, l.restart = nil, keys
	l.mu.Unlock()
	switch {
	case len(keys) > 0:
		l.log.Warn("a restart is wanted: these are as they were", "file", l.file, "keys", strings.Join(keys, ", "))
		l.tell("a restart is wanted by " + strings.Join(keys, ", "))
	case !same:
		l.tell("serving")
	}
	return nil
}

// refuse says that the file means nothing, and that the server is as it was.
func (l *live) refuse(err error) {
	l.mu.Lock()
	l.refused = err
	l.mu.Unlock()
	l.log.Error("the configuration is refused, and the one before goes on", "file", l.file, "why", err)
	l.tell("the configuration is refused: " + err.Error())
}

// tell tells the supervisor how the server is.
func (l *live) tell(status string) {
	first, _, _ := strings.Cut(status, "\n")
	_ = notify.Parent().Send("STATUS=" + first) // who has started this process need not be listening
}
