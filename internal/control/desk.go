package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Desk is where an operator is asked by an application, and tells it what to do. Programs of package system
// have one.
type Desk interface {
	Questions() []Question
	Answer(Answer) error
	Verbs() []Verb
	Do(ctx context.Context, verb string, args []string) (any, error)
}

// Question is what an application wants to know.
type Question struct {
	App     string    `json:"app"`
	Key     string    `json:"key"` // such as "/orderd/eu/port"
	Text    string    `json:"text"`
	Type    string    `json:"type,omitempty"`    // of the value, "" if only retry and give-up are answers
	Default string    `json:"default,omitempty"` // what retry means
	Refused string    `json:"refused,omitempty"` // why the last answer was not taken
	Since   time.Time `json:"since"`
	Given   *Answer   `json:"given,omitempty"` // while nobody was there to take it
}

// Answer is an answer to a question.
type Answer struct {
	Key   string `json:"key"`
	Kind  Reply  `json:"kind"`
	Value string `json:"value,omitempty"`
}

// Reply says what an answer means.
type Reply string

// The replies.
const (
	Value  Reply = "value"
	Retry  Reply = "retry"   // once more, with the default if there is one
	GiveUp Reply = "give-up" // go on without it
)

// Verb is something that an application can be told to do.
type Verb struct {
	Name   string     `json:"name"`             // such as "eu/rebalance"
	Args   []string   `json:"args"`             // the types of its arguments in Go, such as "int", or "int..." for any number of them
	Takes  []Argument `json:"takes"`            // the same for people
	Answer string     `json:"answer,omitempty"` // its type in Go
	Gives  string     `json:"gives,omitempty"`  // the same for people, such as "a list"
	Help   string     `json:"help,omitempty"`
	Who    string     `json:"who"`            // may do it
	Site   string     `json:"site,omitempty"` // of the call that offers it, [Builtin] if every program has it
}

// Argument is what a verb takes, for people.
type Argument struct {
	Name  string `json:"name"`           // such as "SHARD"
	Wants string `json:"wants"`          // such as "a whole number"
	Many  bool   `json:"many,omitempty"` // it is given any number of times
}

// Usage returns how a verb is written, such as "eu/rebalance SHARD [MORE...]".
func (v Verb) Usage() string {
	usage := v.Name
	for _, a := range v.Takes {
		if a.Many {
			usage += " [" + a.Name + "...]"
		} else {
			usage += " " + a.Name
		}
	}
	return usage
}

// Builtin is the site of verbs that every program has.
const Builtin = "package system"

// maxTold bounds what an operator says at once, in bytes.
const maxTold = 1 << 20

// desk answers the paths of a desk, if the application has one.
func (s *Server) desk(handle func(Desk, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Desk == nil {
			refuse(w, &Error{
				Code: NotFound, Text: s.Name + " has no questions and no verbs",
				Way: "programs of package system have: " + s.Name + " is an application of components",
			})
			return
		}
		handle(s.Desk, w, r)
	}
}

// asked returns how many questions wait for an answer.
func (s *Server) asked() int {
	if s.Desk == nil {
		return 0
	}
	return len(s.Desk.Questions())
}

func questions(d Desk, w http.ResponseWriter, _ *http.Request) { reply(w, d.Questions()) }

func verbs(d Desk, w http.ResponseWriter, _ *http.Request) { reply(w, d.Verbs()) }

// told returns what the body of a request says. Its address is not heard: what an operator says may be a secret.
func told(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.URL.RawQuery != "" {
		return nil, &Error{
			Code: Invalid, Text: "parameters are in the address of the request, where they may be seen and logged",
			Way: "send them as a form in its body, as curl --data-urlencode does",
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxTold)
	if err := r.ParseForm(); err != nil {
		return nil, &Error{Code: Invalid, Text: "the body of the request is no form: " + err.Error()}
	}
	return r.PostForm, nil
}

func answer(d Desk, w http.ResponseWriter, r *http.Request) {
	form, err := told(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	a := Answer{Key: form.Get("key"), Kind: Reply(form.Get("kind")), Value: form.Get("value")}
	switch a.Kind {
	case Value, Retry, GiveUp:
	default:
		refuse(w, &Error{Code: Invalid, Text: fmt.Sprintf("kind %q is none of value, retry and give-up", a.Kind)})
		return
	}

	if err := d.Answer(a); err != nil {
		refuse(w, err)
		return
	}
	reply(w, a)
}

func do(d Desk, w http.ResponseWriter, r *http.Request) {
	form, err := told(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	result, err := d.Do(r.Context(), form.Get("verb"), form["arg"])
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, result)
}

// Questions returns what the application wants to know.
func (c *Client) Questions(ctx context.Context) (q []Question, err error) {
	return q, c.do(ctx, "GET", c.of("questions"), nil, &q)
}

// Answer answers a question.
func (c *Client) Answer(ctx context.Context, a Answer) error {
	form := url.Values{"key": {a.Key}, "kind": {string(a.Kind)}, "value": {a.Value}}
	return c.do(ctx, "POST", c.of("answer"), form, &a)
}

// Verbs returns what the application can be told to do.
func (c *Client) Verbs(ctx context.Context) (v []Verb, err error) {
	return v, c.do(ctx, "GET", c.of("verbs"), nil, &v)
}

// Do tells the application to do something, and returns its answer.
func (c *Client) Do(ctx context.Context, verb string, args []string) (answer json.RawMessage, err error) {
	return answer, c.do(ctx, "POST", c.of("do"), url.Values{"verb": {verb}, "arg": args}, &answer)
}

const (
	replaceTime = 10 * time.Second // that nobody may answer while a program is replaced
	replacePoll = 50 * time.Millisecond
)

// Replace has a program of package system become another binary, and returns how it is when that has settled. When nobody
// answers any more, the error is [ErrSilent].
func (c *Client) Replace(ctx context.Context, binary string) (Status, error) {
	before, err := c.Status(ctx)
	if err != nil {
		return before, err
	}
	if _, err := c.Do(ctx, "upgrade", []string{binary}); err != nil {
		return before, err
	}

	silent := time.Now()
	for {
		select {
		case <-time.After(replacePoll):
		case <-ctx.Done():
			return before, context.Cause(ctx)
		}
		now, err := c.Status(ctx)
		switch {
		case err != nil && time.Since(silent) > replaceTime:
			return before, fmt.Errorf("%w: %w", ErrSilent, err)
		case err != nil:
			continue
		case !now.Started.Equal(before.Started) && now.State != "starting":
			return now, nil
		}
		silent = time.Now()
	}
}

// ErrSilent is the error about a program that does not answer any more.
var ErrSilent = errors.New("it does not answer any more")
