//go:build linux

package door

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/lookup"
	"github.com/divisi-go/divisi/internal/keeper/refusal"
	"github.com/divisi-go/divisi/internal/selection"
)

func (s *server) servers(w http.ResponseWriter, r *http.Request) {
	list, err := s.look.List(r.Context(), r.FormValue("domain"))
	reply(w, list, err)
}

func (s *server) sockets(w http.ResponseWriter, r *http.Request) {
	list, err := s.look.Sockets(r.Context(), r.FormValue("domain"))
	reply(w, list, err)
}

// lookup answers with the servers that a selector picks and that are ready, as soon as that differs from what the client
// has.
func (s *server) lookup(w http.ResponseWriter, r *http.Request) {
	picks, err := selection.Parse(r.FormValue("select"), cmp.Or(r.FormValue("domain"), "/"))
	if err != nil {
		reply(w, nil, &frame.Error{Text: err.Error(), Code: "invalid", Way: "write ?select=SELECTOR, such as ?select=role:web"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookup.Longest)
	defer cancel()
	list, version, err := lookup.Next(ctx, s.look, picks, r.FormValue("after"))
	w.Header().Set("ETag", strconv.Quote(version))
	reply(w, list, err)
}

func (s *server) exits(w http.ResponseWriter, r *http.Request) {
	after, err := number(r, "after")
	if err != nil {
		reply(w, nil, err)
		return
	}
	list, err := s.look.Exits(r.Context(), r.FormValue("domain"), after)
	reply(w, list, err)
}

// events writes events as they happen, until the client goes.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	after, err := number(r, "after")
	if err != nil {
		reply(w, nil, err)
		return
	}

	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder, flush := json.NewEncoder(w), http.NewResponseController(w).Flush
	for err = flush(); err == nil; err = flush() {
		var list []keeper.Event
		list, err = s.look.Next(r.Context(), r.FormValue("domain"), after)
		if err != nil {
			return // the client has gone, or the keeper ends
		}
		for _, e := range list {
			if err := encoder.Encode(e); err != nil {
				return
			}
			after = e.Number
		}
	}
}

// number returns a parameter that is a number, 0 if it is not there.
func number(r *http.Request, name string) (uint64, error) {
	text := r.FormValue(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &frame.Error{Text: fmt.Sprintf("%s %.40q is not a number", name, text), Code: "invalid"}
	}
	return n, nil
}

// statuses are those of HTTP that go with codes; 500 goes with the others.
var statuses = map[string]int{
	"invalid":   http.StatusBadRequest,
	"unknown":   http.StatusNotFound,
	"forbidden": http.StatusForbidden,
}

// reply writes a value, or an error.
func reply(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		var e *frame.Error
		if !errors.As(refusal.Told(err), &e) {
			e = &frame.Error{Text: err.Error(), Code: frame.CodeFailed}
		}
		status, ok := statuses[e.Code]
		if !ok {
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
		v = e
	}

	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // the client has gone
}
