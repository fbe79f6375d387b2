// Package control is the API by which running applications are looked at and stopped: JSON over
// HTTP on a Unix socket that only its user can reach. Each application has one:
//
//	curl --unix-socket SOCKET http://divisi/v1/status
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/envelope/metrics"
	"github.com/divisi-go/divisi/internal/deployer"
)

// Application is what the API shows. A deployer is one.
type Application interface {
	Status() deployer.Status
	Metrics(ctx context.Context) (map[string][]*metrics.MetricSnapshot, error)
	Profile(ctx context.Context, group, kind string, length time.Duration) (map[string][]byte, error)
	Stop()
	Over() <-chan struct{}
}

// Info is what else there is to know about an application.
type Info struct {
	Pid    int    `json:"pid"`     // of the process that runs it
	Admin  string `json:"admin"`   // address of the live page, "" if there is none
	LogDir string `json:"log_dir"` // where its processes' logs are
}

// Server serves the API of one application.
type Server struct {
	App  Application
	Info Info
}

// suffix is that of the sockets.
const suffix = ".control"

// socketPath returns where an application's socket is.
func socketPath(runtimeDir string, pid int) string {
	return filepath.Join(runtimeDir, fmt.Sprintf("%d%s", pid, suffix))
}

// Serve serves until ctx ends. The socket is in a folder that only its user can enter.
func (s *Server) Serve(ctx context.Context, runtimeDir string) error {
	path := socketPath(runtimeDir, s.Info.Pid)
	os.Remove(path) // of a process that had the same number
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("cannot open the control socket: %w", err)
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
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
	mux.HandleFunc("POST /v1/profile", func(w http.ResponseWriter, r *http.Request) {
		length, err := time.ParseDuration(r.FormValue("duration"))
		if err != nil || length <= 0 || length > 10*time.Minute {
			http.Error(w, fmt.Sprintf("duration %q is not between 0 and 10m", r.FormValue("duration")),
				http.StatusBadRequest)
			return
		}
		profiles, err := s.App.Profile(r.Context(), r.FormValue("group"), r.FormValue("kind"), length)
		reply(w, profiles, err)
	})
	mux.HandleFunc("POST /v1/stop", func(w http.ResponseWriter, r *http.Request) {
		s.App.Stop()
		// The answer comes when everything has stopped; then the socket closes.
		select {
		case <-s.App.Over():
			reply(w, s.App.Status(), nil)
		case <-r.Context().Done():
		}
	})
	return mux
}

// reply writes a value as JSON, or an error as text.
func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // the client has gone
}

// sockets returns the paths of the sockets in a folder.
func sockets(runtimeDir string) ([]string, error) {
	entries, err := os.ReadDir(runtimeDir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			paths = append(paths, filepath.Join(runtimeDir, e.Name()))
		}
	}
	return paths, nil
}
