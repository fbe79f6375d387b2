package consulapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/store/internal/consul/state"
)

const (
	maxTxn = maxValue // how long the body of a transaction may be
	maxOps = 128
)

// operation is one of a transaction.
type operation struct {
	KV                   *state.Op
	Node, Service, Check json.RawMessage
}

func putTxn(s *Server, c *call) error {
	ops, err := c.operations()
	if err != nil {
		return err
	}
	done, err := s.state.Apply(c.Context(), ops)
	if err != nil {
		return err
	}
	answer := struct {
		Results []state.Result
		Errors  []state.Failure
	}{done.Results, done.Failures}
	if len(answer.Errors) > 0 {
		return c.sendAs(http.StatusConflict, answer)
	}

	if slices.ContainsFunc(ops, state.Op.Writes) {
		s.reach(c.Context(), done.Revision)
	} else {
		c.w.Header().Set("X-Consul-KnownLeader", "true")
		c.w.Header().Set("X-Consul-LastContact", "0")
	}
	if answer.Results == nil {
		answer.Results = []state.Result{}
	}
	return c.send(answer)
}

// operations reads the operations of a transaction.
func (c *call) operations() ([]state.Op, error) {
	body, fits, err := c.body(maxTxn)
	if err != nil {
		return nil, err
	}
	if !fits {
		return nil, refuse(http.StatusRequestEntityTooLarge, "Request body too large, max size: %d bytes", maxTxn)
	}
	return decodeOperations(body)
}

func decodeOperations(body []byte) ([]state.Op, error) {
	var all []operation
	err := json.Unmarshal(body, &all)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "Failed to parse body: %v", err)
	}
	if len(all) > maxOps {
		return nil, refuse(http.StatusRequestEntityTooLarge, "Transaction contains too many operations (%d > %d)", len(all), maxOps)
	}
	ops := make([]state.Op, 0, len(all))
	for i, o := range all {
		switch {
		case o.KV == nil:
			return nil, refuse(http.StatusBadRequest, "Failed to parse body: operation %d is none of KV", i)
		case strings.ContainsFunc(o.KV.Key, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return nil, refuse(http.StatusBadRequest, "Failed to parse body: the key of operation %d has a control character", i)
		}
		ops = append(ops, *o.KV)
	}
	return ops, nil
}
