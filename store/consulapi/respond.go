package consulapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/divisi-go/divisi/store/internal/consul/poll"
)

// respond answers a question, at once or, if the request has an index, when there is something newer.
func (s *Server) respond(c *call, q poll.Question) error {
	a, waited, err := s.poll.Ask(c.Context(), q, c.terms.index, c.terms.wait)
	if err != nil {
		return err
	}
	if waited {
		s.answering <- struct{}{}
		defer func() { <-s.answering }()
	}
	s.write(c.w, a, waited)
	return nil
}

// write sends an answer.
func (s *Server) write(w http.ResponseWriter, a *poll.Answer, waited bool) {
	h := w.Header()
	h.Set("X-Consul-Index", strconv.FormatInt(max(a.Index, 1), 10))
	h.Set("X-Consul-KnownLeader", "true")
	h.Set("X-Consul-LastContact", "0")
	h.Set("X-Consul-Query-Backend", "blocking-query")
	h.Set("X-Consul-Default-ACL-Policy", "allow")
	select {
	case <-s.poll.Stopped():
		h.Set("Connection", "close")
	default:
	}
	if a.Kind != "" {
		h.Set("Content-Type", a.Kind)
	}
	if a.Kind == plain {
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "sandbox")
	}
	h.Set("Content-Length", strconv.Itoa(len(a.Body)))

	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(bodyTime))
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	_, _ = w.Write(a.Body)
	if waited {
		_ = control.Flush()
	}
	_ = control.SetWriteDeadline(time.Time{})
}
