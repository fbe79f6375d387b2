// Package control is the API by which running applications are looked at and stopped: JSON over
// HTTP on a Unix socket that only its user can reach. Each application has one:
//
//	curl --unix-socket SOCKET http://divisi/v1/status
//
//	GET  /v1/status    the state of everything
//	GET  /v1/info      process, socket and folders of the one who runs the application
//	GET  /v1/metrics   the metrics of all replicas, by their names
//	POST /v1/profile   profiles in pprof's format; parameters kind, group, duration
//	POST /v1/stop      drains and stops everything, and answers when it has
//	GET  /v1/STREAM    values, one on a line, such as logs and events
//
// A refusal is an object with the member "error". Members are added to answers, never renamed.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Application is what the API shows. A deployer is one.
type Application interface {
	Status() Status
	Metrics(ctx context.Context) ([]ReplicaMetrics, error)
	Profile(ctx context.Context, group, kind string, length time.Duration) ([]ReplicaProfile, error)
	Stop()
	Over() <-chan struct{}
}

// Info is what else there is to know about an application.
type Info struct {
	Pid    int    `json:"pid"`     // of the process that runs it
	Socket string `json:"socket"`  // of this API
	Admin  string `json:"admin"`   // address of the live page, "" if there is none
	LogDir string `json:"log_dir"` // where its processes' logs are
}

// Stream hands values to emit until ctx ends, or there are no more. What the parameters ask for
// and cannot be had is an error of type *RequestError.
type Stream func(ctx context.Context, parameters url.Values, emit func(any) error) error

// RequestError is an error that the one who asks has made.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *RequestError) Unwrap() error { return e.Err }

// Server serves the API of one application.
type Server struct {
	App     Application
	Info    Info
	Streams map[string]Stream // by the name in their paths

	listener net.Listener
}

// lastAnswers bounds how long answers may take once the server ends.
const lastAnswers = 2 * time.Second

// Listen opens the socket, which must be in a folder that only its user can enter.
func (s *Server) Listen(socket string) error {
	s.Info.Socket = socket
	var err error
	if s.listener, err = net.Listen("unix", socket); err != nil {
		return fmt.Errorf("cannot open the control socket: %w", err)
	}
	return nil
}

// Serve answers until ctx ends, and then ends streams and finishes what it has begun to answer.
func (s *Server) Serve(ctx context.Context) error {
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
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		reply(w, s.App.Status(), nil)
	})
	mux.HandleFunc("GET /v1/info", func(w http.ResponseWriter, r *http.Request) {
		reply(w, s.Info, nil)
	})
	mux.HandleFunc("GET /v1/metrics", func(w http.ResponseWriter, r *http.Request) {
		all, err := s.App.Metrics(r.Context())
		reply(w, all, err)
	})
	mux.HandleFunc("POST /v1/profile", s.profile)
	mux.HandleFunc("POST /v1/stop", func(w http.ResponseWriter, r *http.Request) {
		s.App.Stop()
		select {
		case <-s.App.Over():
		case <-r.Context().Done():
		}
		select {
		case <-s.App.Over(): // which ends the server, too
			reply(w, s.App.Status(), nil)
		default:
			reply(w, nil, errors.New("the end of the application was not waited for"))
		}
	})
	for name, stream := range s.Streams {
		mux.HandleFunc("GET /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
			serveStream(w, r, stream)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, fmt.Errorf("there is no %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// maxProfile bounds the length of a profile.
const maxProfile = 10 * time.Minute

func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	length, err := time.ParseDuration(r.FormValue("duration"))
	kind := r.FormValue("kind")
	switch {
	case kind != "cpu" && kind != "heap":
		writeError(w, http.StatusBadRequest, fmt.Errorf("kind %q is neither cpu nor heap", kind))
		return
	case kind == "cpu" && (err != nil || length <= 0 || length > maxProfile):
		writeError(w, http.StatusBadRequest,
			fmt.Errorf("duration %q is not between 0 and %v", r.FormValue("duration"), maxProfile))
		return
	}
	profiles, err := s.App.Profile(r.Context(), r.FormValue("group"), kind, length)
	answer := Profiles{Profiles: profiles}
	if err != nil && len(profiles) > 0 {
		answer.Failed, err = err.Error(), nil
	}
	reply(w, answer, err)
}

// serveStream writes values as they come. An error in the middle of a stream is its last line.
func serveStream(w http.ResponseWriter, r *http.Request, stream Stream) {
	begun := false
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	flush := http.NewResponseController(w).Flush
	begin := func() error {
		begun = true
		w.Header().Set("Content-Type", "application/x-ndjson")
		return flush()
	}
	err := stream(r.Context(), r.URL.Query(), func(v any) error {
		if !begun {
			if err := begin(); err != nil {
				return err
			}
		}
		if err := encoder.Encode(v); err != nil {
			return err
		}
		return flush()
	})
	var wrong *RequestError
	switch {
	case err == nil && !begun:
		_ = begin() // of an empty stream
	case err == nil:
	case begun:
		_ = encoder.Encode(refusal{err.Error()})
	case errors.As(err, &wrong):
		writeError(w, http.StatusBadRequest, err)
	default:
		writeError(w, http.StatusInternalServerError, err)
	}
}

// refusal is the body of an answer that is an error.
type refusal struct {
	Error string `json:"error"`
}

func writeError(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(refusal{err.Error()}) // the client has gone
}

// reply writes a value, or an error.
func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		writeError(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // the client has gone
}
