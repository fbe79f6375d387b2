// Package operator is the desk of a program at which an operator is asked and gives orders: questions with
// answers of a type, verbs, which are functions of the program, and values that may be set while it runs. It
// knows nothing of what they are about.
//
// What an operator has said is kept in a folder, so that it outlives the program: a question that a program
// has put is answered also while it does not run, see [Shelf].
package operator

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/control"
)

// Desk is the desk of one run of a program.
//
// Invariants:
//   - A question is in asking for as long as somebody waits for its answer.
//   - What was asked in this run is in asked: an answer that is on the shelf from an earlier run is taken the
//     first time only, for whoever asks again was not helped by it.
type Desk struct {
	Say   func(control.Question) // is called with each question that is to be answered; nil for nobody
	Heard func(control.Question) // is called with each question whose answer was taken; nil for nobody

	app   string
	who   string // may give orders
	shelf *Shelf

	mu     sync.Mutex // guards what follows
	asking map[string]*waiting
	asked  map[string]bool
	verbs  map[string]*verb
	knobs  map[string]*knob
}

var _ control.Desk = (*Desk)(nil)

// New returns the desk of a program, with what is on a shelf.
func New(app, who string, shelf *Shelf) *Desk {
	return &Desk{
		app: app, who: who, shelf: shelf, asking: map[string]*waiting{}, asked: map[string]bool{},
		verbs: map[string]*verb{}, knobs: map[string]*knob{},
	}
}

// waiting is a question that somebody waits for the answer of.
type waiting struct {
	question control.Question
	take     func(text string) error
	mu       sync.Mutex // held until it is kept, and while an answer is tried
	answered chan control.Answer
}

// ErrGivenUp is the error of a question to which the answer is to go on without one.
var ErrGivenUp = errors.New("the operator has given up")

// Ask puts a question, and returns when it was answered. Take takes the text of a value, or says why it
// cannot; nobody waits while it does. It is not called for the other answers.
func (d *Desk) Ask(ctx context.Context, q control.Question, take func(text string) error) (control.Reply, error) {
	w, err := d.put(q, take)
	if err != nil {
		return "", err
	}
	defer d.withdraw(w)

	// The folder may have an answer from whoever has not found the program running.
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case a := <-w.answered:
			if a.Kind == control.GiveUp {
				return a.Kind, fmt.Errorf("%s: %w", q.Key, ErrGivenUp)
			}
			return a.Kind, nil
		case <-look.C:
			if note, ok := d.shelf.question(q.Key); ok && note.Given != nil && !note.Taken {
				_ = d.try(w, *note.Given) // a refusal is kept with the question
			}
		case <-ctx.Done():
			d.shelf.remove(q.Key)
			return "", context.Cause(ctx)
		}
	}
}

// put has a question asked from now on. An answer of an earlier run is tried at once.
func (d *Desk) put(q control.Question, take func(text string) error) (*waiting, error) {
	q.App, q.Since = d.app, time.Now()
	w := &waiting{question: q, take: take, answered: make(chan control.Answer, 1)}
	w.mu.Lock() // nobody sees the question before it is kept
	again, err := d.enter(w)
	if err != nil {
		return nil, err
	}

	before, ok := d.shelf.question(q.Key)
	stands := ok && before.Given != nil && (!before.Taken || before.Given.Kind == control.Value)
	if stands && !again {
		w.mu.Unlock()
		if d.try(w, *before.Given) != nil { // which is on the shelf
			d.say(w)
		}
		return w, nil
	}
	if ok && !again {
		w.question.Since = before.Since
	}
	err = d.shelf.putQuestion(Note{Question: w.question})
	w.mu.Unlock()

	if err != nil {
		d.withdraw(w)
		return nil, fmt.Errorf("the question %s cannot be kept: %w", q.Key, err)
	}
	d.say(w)
	return w, nil
}

// enter takes note that a question is being asked, and reports whether this run has asked it before.
func (d *Desk) enter(w *waiting) (again bool, err error) {
	key := w.question.Key
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asking[key] != nil {
		return false, fmt.Errorf("the question %s is being asked already", key)
	}
	d.asking[key] = w
	again = d.asked[key]
	d.asked[key] = true
	return again, nil
}

func (d *Desk) say(w *waiting) {
	if d.Say != nil {
		d.Say(w.question)
	}
}

// withdraw has a question be asked no longer.
func (d *Desk) withdraw(w *waiting) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.asking, w.question.Key)
}

// try has a question take an answer, or says why it does not.
func (d *Desk) try(w *waiting, a control.Answer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.answered) > 0 {
		return fmt.Errorf("%s was answered already", w.question.Key)
	}

	err := w.refuses(a)
	if err != nil {
		w.question.Refused = err.Error()
		return errors.Join(err, d.shelf.putQuestion(Note{Question: w.question}))
	}

	taken := w.question
	taken.Given, taken.Refused = &a, ""
	err = d.shelf.putQuestion(Note{Question: taken, Taken: true})
	if d.Heard != nil {
		d.Heard(taken)
	}
	w.answered <- a
	return err
}

// refuses says why an answer is none.
func (w *waiting) refuses(a control.Answer) error {
	key := w.question.Key
	switch {
	case a.Kind == control.Value && w.question.Type == "":
		return &control.Error{
			Code: control.Invalid, Text: key + " wants no value", Way: "divisi answer " + key + " --retry, or --give-up",
		}
	case a.Kind == control.Value:
		if err := w.take(a.Value); err != nil {
			return &control.Error{
				Code: control.Invalid, Text: fmt.Sprintf("the answer to %s is refused: %v", key, err),
				Way: "it wants " + w.question.Type,
			}
		}
	}

	return nil
}

// Questions returns what is asked, the oldest first.
func (d *Desk) Questions() []control.Question {
	d.mu.Lock()
	waits := make([]*waiting, 0, len(d.asking))
	for _, w := range d.asking {
		waits = append(waits, w)
	}
	d.mu.Unlock()

	list := []control.Question{}
	for _, w := range waits {
		w.mu.Lock()
		if len(w.answered) == 0 {
			list = append(list, w.question)
		}
		w.mu.Unlock()
	}
	sortQuestions(list)
	return list
}

func sortQuestions(list []control.Question) {
	slices.SortFunc(list, func(a, b control.Question) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
}

// Answer answers a question that is asked, by its key or the unique end of it.
func (d *Desk) Answer(a control.Answer) error {
	open := d.Questions()
	key, err := Pick(a.Key, open)
	if err != nil {
		return err
	}

	d.mu.Lock()
	w := d.asking[key]
	d.mu.Unlock()
	if w == nil {
		return fmt.Errorf("%s was answered already", key)
	}
	a.Key = key
	return d.try(w, a)
}

// Pick returns the key of the question that is meant: by the whole of it, or by the parts at its end.
func Pick(asked string, open []control.Question) (string, error) {
	var keys, found []string
	for _, q := range open {
		if q.Key == asked {
			return asked, nil
		}
		keys = append(keys, q.Key)
		if strings.HasSuffix(q.Key, "/"+asked) {
			found = append(found, q.Key)
		}
	}

	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", &control.Error{
			Code: control.Invalid, Text: fmt.Sprintf("several questions are called %q", asked),
			Way: "give one of " + strings.Join(found, ", "),
		}
	case len(open) == 0:
		return "", &control.Error{Code: control.NotFound, Text: "nothing is asked"}
	}
	return "", &control.Error{
		Code: control.NotFound, Text: fmt.Sprintf("no question %q is asked", asked), Way: "these are: " + strings.Join(keys, ", "),
	}
}

// knob is a value that may be set while the program runs.
type knob struct {
	kind string
	show func() string
	take func(text string) error
	site string
}

// Knob declares a value that may be set, and gives it what was set before. The error of what was set and is
// refused by now is for the log: the value is as it was declared. Forget withdraws it.
func (d *Desk) Knob(name, site string, of reflect.Type, show func() string, take func(text string) error) (
	forget func(), refused error, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if other := d.knobs[name]; other != nil {
		return nil, nil, fmt.Errorf("the value %s is declared twice: at %s and at %s", name, other.site, site)
	}

	k := &knob{kind: TypeName(of), show: show, take: take, site: site}
	d.knobs[name] = k
	if text, ok := d.shelf.value(name); ok {
		if refused = take(text); refused != nil {
			refused = fmt.Errorf("what %s was set to is refused by now: %w", name, refused)
		}
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.knobs[name] == k {
			delete(d.knobs, name)
		}
	}, refused, nil
}

// Set sets a value that was declared, for this run and all that follow.
func (d *Desk) Set(name, text string) error {
	d.mu.Lock()
	k := d.knobs[name]
	d.mu.Unlock()
	if k == nil {
		return &control.Error{
			Code: control.NotFound, Text: fmt.Sprintf("no value %q can be set", name),
			Way: "divisi do " + d.app + " values lists them",
		}
	}
	if err := k.take(text); err != nil {
		return &control.Error{
			Code: control.Invalid, Text: fmt.Sprintf("the value of %s is refused: %v", name, err), Way: "it wants " + k.kind,
		}
	}
	return d.shelf.putValue(name, text)
}

// Value is one that may be set, as it is now.
type Value struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

// Values returns the values that may be set, by name.
func (d *Desk) Values() []Value {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []Value{}
	for name, k := range d.knobs {
		list = append(list, Value{Name: name, Type: k.kind, Value: k.show()})
	}
	slices.SortFunc(list, func(a, b Value) int { return strings.Compare(a.Name, b.Name) })
	return list
}
