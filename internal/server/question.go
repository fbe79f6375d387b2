package server

import (
	"context"
	"time"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/probe"
)

// Observer sees from the host of a server what a client elsewhere cannot.
type Observer interface {
	Ask(context.Context, Question) error // see [Start.Ask]
	LastWords(Question) string           // see [Start.LastWords]
	Output(Question) string              // see [Start.Output]

	Hear(context.Context, Listening) ([]Said, error) // see [Hear]
}

// Question is what an observer has to know of a start.
type Question struct {
	ID        keeper.ID       `json:"id"`
	Started   time.Time       `json:"started"`
	Ready     string          `json:"ready,omitempty"` // as package probe reads it
	Dir       string          `json:"dir,omitempty"`
	Env       []string        `json:"env,omitempty"`
	Listeners []probe.Address `json:"listeners,omitempty"`
	Log       string          `json:"log,omitempty"`
}

// question returns what is asked about a start. Its variables are secrets, and go only where a command needs them.
func (s *Start) question() Question {
	q := Question{
		ID: s.Proc.ID, Started: s.Proc.Started, Ready: s.Ready.String(), Dir: s.Spec.Dir, Listeners: s.Listeners, Log: s.Log,
	}
	if s.Ready.Kind == probe.Exec {
		q.Env = s.Spec.Env
	}
	return q
}

// Start returns the start that is asked about, on its host.
func (q Question) Start() (*Start, error) {
	s := &Start{
		Proc: keeper.Proc{ID: q.ID, Started: q.Started}, Spec: &keeper.Spec{Dir: q.Dir, Env: q.Env},
		Listeners: q.Listeners, Log: q.Log,
	}
	var err error
	if q.Ready != "" {
		s.Ready, err = probe.Parse(q.Ready)
	}
	return s, err
}
