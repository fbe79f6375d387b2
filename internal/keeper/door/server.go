//go:build linux

package door

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/daemon"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/journal"
	"github.com/divisi-go/divisi/internal/keeper/link"
	"github.com/divisi-go/divisi/internal/keeper/store"
	"github.com/divisi-go/divisi/internal/notify"
	"github.com/divisi-go/divisi/internal/proc"
)

// linger is how long a keeper that holds nothing waits for another client.
const linger = time.Second

// server is the keeper's side of the door.
type server struct {
	home     home.Home
	claim    *home.Claim
	keeper   *hold.Keeper
	listener *net.UnixListener
	look     *hold.Session // claims nothing
	started  time.Time
	program  string
	env      []string      // by which a program becomes the keeper of this home
	ended    chan struct{} // closed when everything was shut down
	next     chan heir
	before   outcome // of the upgrade by which this program has come

	supervisor notify.Supervisor
	kept       *store.Store   // what it keeps
	reported   string         // how the keeper is, as the supervisor was told
	health     journal.Health // of the journal, as the log says

	shut sync.Once

	mu      sync.Mutex         // guards what follows
	open    int                // connections
	clients map[*attached]bool // those of them that have upgraded
	quiet   time.Time          // when the last one ended, or the server began
	over    bool               // no connection is served any more
}

func newServer(h home.Home, c *home.Claim, k *hold.Keeper, l *net.UnixListener) (*server, error) {
	look, err := k.Attach(context.Background(), keeper.Claim{Who: "the door"})
	if err != nil {
		return nil, err
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	return &server{
		home: h, claim: c, keeper: k, listener: l, look: look, program: program,
		started: time.Now(), quiet: time.Now(),
		ended: make(chan struct{}), next: make(chan heir), clients: map[*attached]bool{},
	}, nil
}

// listen opens the socket. Nobody else can have it, for this process has the keeper's claim.
func listen(path string) (*net.UnixListener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the door of the keeper: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l.(*net.UnixListener), nil
}

// serve answers until the keeper holds nothing and nobody is there any more, until it is shut down, or
// until ctx ends.
func (s *server) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       linger,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
		ConnState:         s.count,
		ErrorLog:          log.New(io.Discard, "", 0), // about clients that have broken off
	}
	s.mu.Lock()
	for a := range s.clients { // of a former program, before there are others
		go s.talk(ctx, a)
	}
	s.mu.Unlock()
	served := make(chan error, 1)
	go func() { served <- h.Serve(s.listener) }()
	defer h.Close()

	look := time.NewTicker(linger)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if s.leave() {
				return nil
			}
			s.complain()
			s.report()
		case next := <-s.next:
			return s.giveWay(h, next)
		case <-s.ended:
			return nil
		case <-ctx.Done():
			return nil
		case err := <-served:
			return err
		}
	}
}

// farewellTime bounds how long a client may take to hear that the keeper ends for good.
const farewellTime = time.Second

// shutdown kills all that the keeper holds. Clients are told that it ends, so that they start no other
// one.
func (s *server) shutdown() error {
	err := s.keeper.Close()

	s.mu.Lock()
	clients := maps.Clone(s.clients)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), farewellTime)
	defer cancel()
	var told sync.WaitGroup
	for a := range clients {
		told.Go(func() { _, _ = a.conn.Call(ctx, link.Farewell, nil, nil, nil) }) // one who does not listen starts another keeper
	}
	told.Wait()
	return err
}

// end ends the server, once who shut it down has its answer.
func (s *server) end() { s.shut.Do(func() { close(s.ended) }) }

// leave reports whether it is time to end, which it never is under a supervisor. From then on nobody is
// served.
func (s *server) leave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = !s.supervisor.Exists() && s.open == 0 && time.Since(s.quiet) >= linger && s.keeper.Idle()
	return s.over
}

// count counts connections, as one of HTTP comes or goes.
func (s *server) count(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case state == http.StateNew && s.over:
		conn.Close() // its client finds another keeper
	case state == http.StateNew:
		s.open++
	case state == http.StateClosed && !s.over:
		s.gone()
	}
}

// gone counts a connection that is over; the mutex is held.
func (s *server) gone() {
	s.open--
	s.quiet = time.Now()
}

// peerKey is the key of a connection's peer, a *syscall.Ucred, in its context.
type peerKey struct{}

func withPeer(ctx context.Context, conn net.Conn) context.Context {
	peer, err := link.Peer(conn.(*net.UnixConn))
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, peer)
}

// handler returns the door's HTTP, for its user and root only.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/keeper", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.info(), nil) })
	mux.HandleFunc("GET /v1/servers", s.servers)
	mux.HandleFunc("GET /v1/sockets", s.sockets)
	mux.HandleFunc("GET /v1/lookup", s.lookup)
	mux.HandleFunc("GET /v1/exits", s.exits)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("POST /v1/attach", s.attach)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, nil, &frame.Error{Text: fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path), Code: "unknown"})
	})

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, ok := r.Context().Value(peerKey{}).(*syscall.Ucred)
		if !ok || peer.Uid != 0 && int(peer.Uid) != os.Getuid() {
			reply(w, nil, &frame.Error{Text: "this keeper belongs to another user", Code: "forbidden"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// attach upgrades a connection, and serves it until it is over.
func (s *server) attach(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != link.Upgrade {
		reply(w, nil, &frame.Error{
			Text: "attach needs a connection that upgrades", Code: "invalid",
			Way: "send the headers Connection: Upgrade and Upgrade: " + link.Upgrade,
		})
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		reply(w, nil, err)
		return
	}

	err = conn.SetDeadline(time.Time{})
	if err == nil && buffered.Reader.Buffered() > 0 {
		err = errors.New("frames came before the answer to attach")
	}
	if err == nil {
		_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+link.Upgrade+"\r\n\r\n")
	}

	s.mu.Lock()
	if err != nil {
		conn.Close()
		s.gone()
		s.mu.Unlock()
		return
	}
	talks := frame.New
	if r.Header.Get(link.FilesHeader) == link.NoFiles {
		talks = frame.NewPlain
	}
	a := newAttached(s, talks(conn.(*net.UnixConn)))
	s.clients[a] = true
	s.mu.Unlock()
	s.talk(r.Context(), a)
}

// talk serves a connection that has upgraded until it is over, or paused for another program.
func (s *server) talk(ctx context.Context, a *attached) {
	defer close(a.rested)
	err := a.conn.Serve(ctx, a.handle)
	if errors.Is(err, frame.ErrPaused) {
		return
	}

	a.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, a)
	s.gone()
}

// info describes the keeper.
func (s *server) info() link.Info {
	s.mu.Lock()
	clients := len(s.clients)
	s.mu.Unlock()
	info := link.Info{
		Pid: os.Getpid(), Protocol: link.Protocol, Program: s.program, Home: s.home.Dir, Boot: proc.BootID(),
		Started: s.started, Clients: clients, Resident: resident(),
		Supervised: s.supervisor.Exists(),
	}
	if err := s.keeper.Health().Trouble; err != nil {
		info.Trouble = err.Error()
	}
	return info
}

// complain says in the log that the journal cannot be written, and that it can again. The latter says the reason
// as well: the log may be on the same disk.
func (s *server) complain() {
	before, now := s.health, s.keeper.Health()
	s.health = now
	if before.Trouble == nil && (now.Trouble != nil || now.Failed > before.Failed) {
		daemon.Say("%v: what is started meanwhile is refused, and what runs goes on", cmp.Or(now.Trouble, now.Last))
	}
	if now.Trouble == nil && (before.Trouble != nil || now.Failed > before.Failed) {
		daemon.Say("the journal is written again, and nothing is missing there; for a while: %v", cmp.Or(now.Last, before.Trouble))
	}
}

// resident returns how much memory of this process is in the machine's, 0 if that is not known.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Fscan(strings.NewReader(string(text)), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
