package httpd

import (
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Site is what a server serves. Its fields are set before Server is called, and before the first request.
type Site struct {
	// Files are served wherever no handler is; nil serves none.
	Files *Files

	// Handlers answer below paths: that of /api gets /api and all that begins with /api/. Of several that fit,
	// the longest path has it.
	Handlers map[string]http.Handler

	// Name is that of this server; if there is one, answers have it in the header X-Served-By.
	Name string

	// Log is told of every request, in the combined format of Apache and nginx; nil keeps no log. It may stand
	// still: then requests go on, and lines are lost and counted, see LogLost.
	Log io.Writer

	// Patience is how long a client, or a handler on its behalf, may take for the next bytes of a body, and for the
	// header of a request. Default 30 s.
	Patience time.Duration

	// BodyMax bounds the bodies of requests, in bytes. Default 64 MiB; negative: there is no bound.
	BodyMax int64

	// ConnectionsMax bounds the connections of Server. Beyond it, a new one takes the place of that on which nothing has
	// been asked for the longest time; while something is asked on all, the new one is closed. Default 4096.
	ConnectionsMax int

	once        sync.Once
	prefixes    []string // of handlers, the longest first
	log         *accessLog
	connections *connections
	asked, busy atomic.Int64
}

const (
	defaultPatience = 30 * time.Second
	defaultBodyMax  = 64 << 20
	connectionsMax  = 4096
	headerMax       = 64 << 10
	idleTime        = 75 * time.Second
)

func (s *Site) prepare() {
	if s.Patience <= 0 {
		s.Patience = defaultPatience
	}
	if s.BodyMax == 0 {
		s.BodyMax = defaultBodyMax
	}
	if s.ConnectionsMax <= 0 {
		s.ConnectionsMax = connectionsMax
	}
	s.connections = newConnections(s.ConnectionsMax)
	for prefix := range s.Handlers {
		s.prefixes = append(s.prefixes, prefix)
	}
	slices.SortFunc(s.prefixes, func(a, b string) int { return len(b) - len(a) })
	if s.Log != nil {
		s.log = newAccessLog(s.Log)
	}
}

// Server returns a server with bounds for headers, for the time that a client takes for them, and for connections. It can be
// given certificates, and is meant for serve.Server.
func (s *Site) Server() *http.Server {
	s.once.Do(s.prepare)
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: s.Patience, IdleTimeout: idleTime, MaxHeaderBytes: headerMax,
		HTTP2: &http.HTTP2Config{WriteByteTimeout: s.Patience}, ConnState: s.connections.changed,
	}
	server.RegisterOnShutdown(s.Flush)
	return server
}

// flushTime is how long Flush waits.
const flushTime = time.Second

// Flush waits until what was logged is written, for a second at most.
func (s *Site) Flush() {
	if s.log != nil {
		s.log.flush(flushTime)
	}
}

// LogLost returns how many lines could not be logged, since what they are written to stood still or failed.
func (s *Site) LogLost() uint64 {
	if s.log == nil {
		return 0
	}
	return s.log.lost.Load()
}

// Status is how a site is at a moment.
type Status struct {
	Requests    int64 // that have come
	Busy        int64 // of them, those that are being answered
	Connections int   // of the servers that Server has returned
	Kept        int   // files that are in memory
	KeptBytes   int64 // and what they take there
	LogLost     uint64
}

// Status returns how the site is.
func (s *Site) Status() Status {
	s.once.Do(s.prepare)
	now := Status{Requests: s.asked.Load(), Busy: s.busy.Load(), Connections: s.connections.count(), LogLost: s.LogLost()}
	if s.Files != nil {
		now.Kept, now.KeptBytes = s.Files.kept.size()
	}
	return now
}

// ServeHTTP answers a request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.once.Do(s.prepare)
	s.asked.Add(1)
	s.busy.Add(1)
	defer s.busy.Add(-1)
	begin := time.Now()
	control := http.NewResponseController(w)
	a := &answer{ResponseWriter: w, control: control}
	if r.ProtoMajor == 1 {
		a.patience = s.Patience // HTTP/2 has its own, see Server
	}
	if s.Name != "" {
		w.Header().Set("X-Served-By", s.Name)
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &patientBody{ReadCloser: r.Body, control: control, patience: s.Patience}
		if s.BodyMax > 0 {
			r.Body = http.MaxBytesReader(w, r.Body, s.BodyMax)
		}
	}

	handler, label := s.find(r.URL.Path)
	defer func() {
		thrown := recover()
		cut := thrown == http.ErrAbortHandler || thrown != nil && a.code != 0
		if thrown != nil && !cut {
			slog.Error("a handler panicked", "handler", label, "panic", thrown, "stack", string(debug.Stack()))
			fail(a, http.StatusInternalServerError)
		}
		count(label, a, time.Since(begin))
		if s.log != nil {
			s.log.add(r, a, begin)
		}
		if cut {
			panic(thrown) // the client must not take what it has got for the whole
		}
	}()
	handler.ServeHTTP(a, r)
	a.extend()
}

// find returns who answers for a path, and what that is called in metrics.
func (s *Site) find(path string) (http.Handler, string) {
	for _, prefix := range s.prefixes {
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
		if ok && (rest == "" || rest[0] == '/') {
			return s.Handlers[prefix], prefix
		}
	}
	if s.Files == nil {
		return http.NotFoundHandler(), "none"
	}
	return s.Files, "files"
}
