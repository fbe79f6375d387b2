package deployer

import "time"

// Event is something that happened to a replica, for logs, pages and tests.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"` // started, ready, hung, exited, backoff, failed, draining, stopped, listening, upgraded
	Replica string    `json:"replica,omitempty"`
	Group   string    `json:"group,omitempty"`
	Pid     int       `json:"pid,omitempty"`
	Text    string    `json:"text"`
}
