// Package control is the API by which running applications are looked at and stopped: JSON over
// HTTP on a Unix socket that only its user can reach, the door. The command divisi where says where
// it is:
//
//	curl --unix-socket SOCKET http://divisi/v1/servers
//
//	GET  /v1/servers              all processes, those that should run as well
//	GET  /v1/apps                 the applications
//	GET  /v1/apps/{app}/status    the state of everything
//	GET  /v1/apps/{app}/metrics   the metrics of all replicas
//	POST /v1/apps/{app}/profile   profiles in pprof's format; parameters kind, group, duration
//	POST /v1/apps/{app}/stop      drains and stops everything, and answers when it has
//	GET  /v1/apps/{app}/logs      entries, one on a line; parameters are those of divisi logs
//	GET  /v1/apps/{app}/events    what happened lately, and what happens, one on a line; parameter follow
//
// and of programs of package system
//
//	GET  /v1/apps/{app}/questions what the program wants to know
//	POST /v1/apps/{app}/answer    answers one; a form with key, kind (value, retry, give-up) and value
//	GET  /v1/apps/{app}/elsewhere what its servers on other hosts say, a [Line] on a line; parameters follow, last, server
//	GET  /v1/apps/{app}/verbs     what it can be told to do
//	POST /v1/apps/{app}/do        tells it; a form with verb, and arg for each argument
//
// Forms are bodies of requests, since what an operator says may be a secret. A refusal is an [Error]. Members are added to answers, never renamed, and readers skip what they
// do not know.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/divisi-go/divisi/internal/event"
)

// Application is what the API shows. A deployer is one.
type Application interface {
	Status() Status
	Metrics(ctx context.Context) ([]ReplicaMetrics, error)
	Profile(ctx context.Context, group, kind string, length time.Duration) ([]ReplicaProfile, error)
	Stop()
	Over() <-chan struct{}
}

// Stream hands values to emit until ctx ends, or there are no more.
type Stream func(ctx context.Context, parameters url.Values, emit func(any) error) error

// Server serves the API of one application.
type Server struct {
	Name       string // of the application
	App        Application
	Controller Controller
	Logs       Stream
	Elsewhere  Stream // of lines; nil if it has no other hosts
	Events     *event.Log
	Desk       Desk // nil if it has none

	listener net.Listener
	file     os.FileInfo // of the socket
}

// lastAnswers bounds how long answers may take once the server ends.
const lastAnswers = 2 * time.Second

// Listen opens the socket, which must be in a folder that only its user can enter. It takes the place of
// one that is there: of a killed process, or of one that was succeeded.
func (s *Server) Listen(socket string) error {
	s.Controller.Socket = socket
	next := socket + "~" + strconv.Itoa(os.Getpid())
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: next})
	if err == nil {
		listener.SetUnlinkOnClose(false)
		s.file, err = os.Lstat(next)
	}
	if err == nil {
		err = os.Rename(next, socket)
	}
	if err != nil {
		return fmt.Errorf("cannot open the control socket: %w", err)
	}

	s.listener = listener
	return nil
}

// unlink removes the socket, unless another server listens there by now.
func (s *Server) unlink() {
	info, err := os.Lstat(s.Controller.Socket)
	if err == nil && os.SameFile(info, s.file) {
		os.Remove(s.Controller.Socket)
	}
}

// Serve answers until ctx ends, and then ends streams and finishes what it has begun to answer.
func (s *Server) Serve(ctx context.Context) error {
	defer s.unlink()
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		// Requests end with ctx, so that Shutdown does not wait for streams.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}

	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
		defer cancel()
		if server.Shutdown(limit) != nil {
			server.Close()
		}
	})

	err := server.Serve(s.listener)
	if stop() {
		return err
	}
	<-closed
	return nil
}

// Handler returns the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/servers", func(w http.ResponseWriter, r *http.Request) {
		reply(w, s.App.Status().Replicas)
	})
	mux.HandleFunc("GET /v1/apps", func(w http.ResponseWriter, r *http.Request) {
		status := s.App.Status()
		reply(w, []AppStatus{{
			App: status.App, Domain: status.Domain, Version: status.Version,
			State: status.State, Started: status.Started, Questions: s.asked(),
		}})
	})

	ofApp := func(method, subject string, handle http.HandlerFunc) {
		mux.HandleFunc(method+" /v1/apps/{app}/"+subject, func(w http.ResponseWriter, r *http.Request) {
			if asked := r.PathValue("app"); asked != s.Name {
				refuse(w, &Error{
					Code: NotFound, Text: fmt.Sprintf("no application %q is behind this door", asked),
					Way: "this is the door of " + s.Name + ": divisi where lists them",
				})
				return
			}
			handle(w, r)
		})
	}
	ofApp("GET", "status", s.status)
	ofApp("GET", "metrics", s.metrics)
	ofApp("POST", "profile", s.profile)
	ofApp("POST", "stop", s.stop)
	ofApp("GET", "questions", s.desk(questions))
	ofApp("POST", "answer", s.desk(answer))
	ofApp("GET", "verbs", s.desk(verbs))
	ofApp("POST", "do", s.desk(do))
	ofApp("GET", "logs", func(w http.ResponseWriter, r *http.Request) { serveStream(w, r, s.Logs) })
	ofApp("GET", "elsewhere", func(w http.ResponseWriter, r *http.Request) {
		if s.Elsewhere == nil {
			refuse(w, &Error{Code: NotFound, Text: s.Name + " has no servers on other hosts"})
			return
		}
		serveStream(w, r, s.Elsewhere)
	})
	ofApp("GET", "events", func(w http.ResponseWriter, r *http.Request) { serveStream(w, r, s.events) })

	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, &Error{Code: NotFound, Text: fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path)})
	})
	return mux
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	status := s.App.Status()
	status.Controller = s.Controller
	reply(w, status)
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	all, err := s.App.Metrics(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, all)
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) {
	s.App.Stop()
	select {
	case <-s.App.Over():
	case <-r.Context().Done():
	}

	select {
	case <-s.App.Over(): // which ends the server, too
		s.status(w, r)
	default:
		refuse(w, errors.New("the end of the application was not waited for"))
	}
}

// maxProfile bounds the length of a profile.
const maxProfile = 10 * time.Minute

func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	length, err := time.ParseDuration(r.FormValue("duration"))
	kind := r.FormValue("kind")
	switch {
	case kind != "cpu" && kind != "heap":
		refuse(w, &Error{Code: Invalid, Text: fmt.Sprintf("kind %q is neither cpu nor heap", kind)})
		return
	case kind == "cpu" && (err != nil || length <= 0 || length > maxProfile):
		refuse(w, &Error{
			Code: Invalid,
			Text: fmt.Sprintf("duration %q is not between 0 and %v", r.FormValue("duration"), maxProfile),
		})
		return
	}

	answer, err := Profile(r.Context(), s.App, r.FormValue("group"), kind, length)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, answer)
}

// Profile takes profiles of an application. If some fail, there is no error unless all do.
func Profile(ctx context.Context, app Application, group, kind string, length time.Duration) (Profiles, error) {
	profiles, err := app.Profile(ctx, group, kind, length)
	if err != nil && len(profiles) == 0 {
		return Profiles{}, err
	}
	answer := Profiles{Profiles: profiles}
	if err != nil {
		answer.Failed = err.Error()
	}
	return answer, nil
}

// events hands on what happened lately, and what happens unless follow is false.
func (s *Server) events(ctx context.Context, parameters url.Values, emit func(any) error) error {
	if parameters.Get("follow") == "false" {
		for _, r := range s.Events.List() {
			if err := emit(r); err != nil {
				return err
			}
		}
		return nil
	}
	return s.Events.Follow(ctx, func(r event.Record) error { return emit(r) })
}

// serveStream writes values as they come. An error in the middle of a stream is its last line.
func serveStream(w http.ResponseWriter, r *http.Request, stream Stream) {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	flush := http.NewResponseController(w).Flush

	begun := false
	begin := func() error {
		if begun {
			return nil
		}
		begun = true
		w.Header().Set("Content-Type", "application/x-ndjson")
		return flush()
	}
	err := stream(r.Context(), r.URL.Query(), func(v any) error {
		if err := begin(); err != nil {
			return err
		}
		if err := encoder.Encode(v); err != nil {
			return err
		}
		return flush()
	})

	switch {
	case err == nil:
		_ = begin() // of an empty stream
	case begun:
		_ = encoder.Encode(asError(err))
	default:
		refuse(w, err)
	}
}

// refuse writes an error.
func refuse(w http.ResponseWriter, err error) {
	e := asError(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Code.Status())
	write(w, e)
}

// reply writes a value.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	write(w, v)
}

func write(w http.ResponseWriter, v any) {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // the client has gone
}
