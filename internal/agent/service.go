package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/refusal"
	"github.com/divisi-go/divisi/internal/server"
)

// service is what an agent does for its client.
type service struct {
	home  home.Home
	find  func(word string) (server.Program, error)
	store *artifact.Store
}

// serve answers until ctx ends.
func (s *service) serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { h.Close() })()
	err := h.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// verbs are the requests that have an answer.
func (s *service) verbs() map[string]func(context.Context, ask) (answer, error) {
	all := s.artifacts()
	maps.Copy(all, map[string]func(context.Context, ask) (answer, error){
		"greet": func(context.Context, ask) (answer, error) { return answer{}, nil },
		"keeper": func(ctx context.Context, _ ask) (answer, error) {
			return answer{}, s.keeper(ctx)
		},
		"look":   func(ctx context.Context, _ ask) (answer, error) { return s.look(ctx) },
		"remove": func(ctx context.Context, _ ask) (answer, error) { return s.remove(ctx) },
		"find": func(_ context.Context, a ask) (answer, error) {
			p, err := s.find(a.Path)
			return answer{Program: &p}, err
		},
		"environment": func(_ context.Context, a ask) (answer, error) {
			own, err := server.Environment(a.Own, a.User)
			return answer{Own: own}, err
		},
		"folder": func(_ context.Context, a ask) (answer, error) { return answer{}, server.Local{}.MakeDir(a.Path) },
		"stat": func(_ context.Context, a ask) (answer, error) {
			i, err := server.Local{}.Stat(a.Path)
			if err != nil {
				return answer{}, err
			}
			return answer{Info: infoOf(i)}, nil
		},
		"read": func(_ context.Context, a ask) (answer, error) {
			content, err := read(a.Path)
			return answer{Content: content}, err
		},
		"write": func(_ context.Context, a ask) (answer, error) {
			return answer{}, server.Local{}.WriteFile(a.Path, a.Content)
		},
		"ready": func(ctx context.Context, a ask) (answer, error) {
			start, err := startOf(a)
			if err != nil {
				return answer{}, err
			}
			return answer{}, start.Ask(ctx)
		},
		"words": func(_ context.Context, a ask) (answer, error) {
			start, err := startOf(a)
			if err != nil {
				return answer{}, err
			}
			return answer{Text: start.LastWords()}, nil
		},
		"hear": func(_ context.Context, a ask) (answer, error) {
			if a.Listening == nil {
				return answer{}, errors.New("it does not say what is to be heard")
			}
			said, err := server.Hear(*a.Listening)
			return answer{Said: said}, err
		},
		"output": func(_ context.Context, a ask) (answer, error) {
			start, err := startOf(a)
			if err != nil {
				return answer{}, err
			}
			return answer{Text: start.Output()}, nil
		},
	})
	return all
}

// startOf returns the start that a question is about.
func startOf(a ask) (*server.Start, error) {
	if a.Question == nil {
		return nil, errors.New("there is no question")
	}
	return a.Question.Start()
}

// read reads a file that is not too long.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(content) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes, which is the most that is read from another host at once", path, maxFile)
	}
	return content, err
}

// keeper has a keeper run, if none does.
func (s *service) keeper(ctx context.Context) error {
	c, err := door.Attach(ctx, s.home, keeper.Claim{})
	if err != nil {
		return err
	}
	return c.Release()
}

// upgraded is the protocol of a connection into the network of the host.
const upgraded = "divisi-dial"

// handler returns the HTTP of an agent. Who may use it is whoever may open its socket: its user.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	for verb, do := range s.verbs() {
		mux.HandleFunc("POST /v1/"+verb, func(w http.ResponseWriter, r *http.Request) {
			var a ask
			var done answer
			err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&a)
			if err != nil {
				err = &frame.Error{Text: fmt.Sprintf("the body of %s is malformed: %v", verb, err), Code: frame.CodeInvalid}
			} else {
				done, err = do(r.Context(), a)
			}
			reply(w, done, err)
		})
	}
	mux.HandleFunc("POST /v1/dial", ServeDial)
	mux.HandleFunc("POST /v1/put", s.put)
	return mux
}

// reply writes an answer, or an error.
func reply(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case errors.Is(err, artifact.ErrBusy): // somebody who was cut off, for a moment
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil:
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	if err != nil {
		v = refusal.Told(err)
	}
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}

// dialTime bounds how long a connection may take to be made.
const dialTime = time.Minute

// ServeDial connects in the network of this process to the address that is asked for, and upgrades to that connection.
func ServeDial(w http.ResponseWriter, r *http.Request) {
	d := net.Dialer{Timeout: dialTime}
	there, err := d.DialContext(r.Context(), r.FormValue("network"), r.FormValue("address"))
	if err != nil {
		reply(w, nil, err)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		reply(w, nil, err)
		return
	}
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+upgraded+"\r\n\r\n")
	if err = errors.Join(err, conn.SetDeadline(time.Time{})); err != nil {
		there.Close()
		conn.Close()
		return
	}
	relay(there, conn, buffered)
}

// relay copies in both directions until both have ended. The end of one direction is handed on as that.
func relay(there, conn net.Conn, said io.Reader) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(there, said)
		endWriting(there)
	}()
	_, _ = io.Copy(conn, there)
	endWriting(conn)
	<-over
	there.Close()
	conn.Close()
}

// endWriting says that nothing more comes, if that can be said.
func endWriting(c net.Conn) {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		c.Close()
	}
}
