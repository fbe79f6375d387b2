package discover

import (
	"encoding/json"
	"net/http"
	"time"
)

// shown is what a Value shows of itself.
type shown struct {
	Name     string    `json:"name"`
	Value    any       `json:"value"`
	Version  Version   `json:"version"`
	Origin   Origin    `json:"origin"`
	Adopted  time.Time `json:"adopted,omitzero"`
	Contact  time.Time `json:"contact,omitzero"`
	Failures int       `json:"failures"`
	Limited  float64   `json:"limited_seconds"`
	Problem  string    `json:"problem,omitempty"`
}

// ServeHTTP shows the value and how it is, as JSON, with the status 503 while there is no value. It shows all
// that the value has: what must stay secret has a type that is not marshalled.
func (v *Value[T]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are allowed", http.StatusMethodNotAllowed)
		return
	}

	s, status := v.Status(), http.StatusServiceUnavailable
	page := shown{Name: v.name(), Contact: s.Contact, Failures: s.Failures, Limited: s.Limited.Seconds()}
	if snapshot := v.Load(); snapshot != nil {
		status = http.StatusOK
		page.Value, page.Version = snapshot.Value, s.Adopted
		page.Origin, page.Adopted = snapshot.Origin, snapshot.Adopted
	}
	if err := v.Health(); err != nil {
		page.Problem = err.Error()
	}

	text, err := json.MarshalIndent(page, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // who has gone needs no answer
}
