package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/operator"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/internal/supervision"
	"github.com/divisi-go/divisi/internal/tree"
)

// Question is what an operator is to say, while the system runs.
type Question[T any] struct {
	Key     string // in its nursery
	Text    string
	Default T             // the answer that --retry means, such as the one that was tried before
	Check   func(T) error // says why a value cannot be meant; nil if each can
}

// ErrGivenUp is the error of [Ask] when the operator does not want to answer.
var ErrGivenUp = operator.ErrGivenUp

// Ask puts a question to whoever operates the program, and returns the answer, however long it takes:
//
//	divisi questions
//	divisi answer KEY VALUE | --retry | --give-up
//
// The question, and an answer that is given meanwhile, survive the end of the program: the next run that asks
// has the answer at once. Who asks once more in the same run was not helped by it, so that the operator is
// asked again. In a test [Program.Operator] answers.
//
// A value is written as the text of its type, if that reads texts, as that of a basic type, or as JSON. For T
// struct{} there is none, and the answer is to retry.
func Ask[T any](ctx context.Context, n *Nursery, q Question[T]) (T, error) {
	site := caller()
	value := q.Default
	if _, err := n.offer("question", q.Key, site); err != nil {
		return value, err
	}
	asked := Asked{Key: path.Join(n.Path(), q.Key), Text: q.Text}
	if of := reflect.TypeFor[T](); of.Kind() != reflect.Struct || of.NumField() > 0 {
		asked.Type = operator.TypeName(of)
		asked.Default = operator.Show(reflect.ValueOf(&q.Default).Elem())
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx, func() { cancel(context.Cause(n.ctx)) })()
	_, err := n.program.ask(ctx, asked, operator.Take(q.Check, func(v T) { value = v }))
	return value, err
}

// Asked is a question as [Program.Operator] has it.
type Asked struct {
	Key     string // such as /orderd/eu/port
	Text    string
	Type    string // of the value, for people; "" if there is none
	Default string // what an empty answer means
}

// ask puts a question to the operator, or to the function that stands in for one.
func (p *program) ask(ctx context.Context, q Asked, take func(string) error) (control.Reply, error) {
	if p.Operator == nil {
		return p.desk.Ask(ctx, control.Question{Key: q.Key, Text: q.Text, Type: q.Type, Default: q.Default}, take)
	}

	answer, err := p.Operator(q)
	if err == nil && answer == "" {
		return control.Retry, nil
	}
	if err == nil {
		err = take(answer)
	}
	if err != nil {
		return control.GiveUp, fmt.Errorf("%s, answer %q: %w", q.Key, answer, err)
	}
	return control.Value, nil
}

// askAbout asks what is to become of something that has failed too often, until it can be used again. It is
// tried again meanwhile.
func (p *program) askAbout(m *supervision.Member, why error) {
	ctx, cancel := context.WithCancel(p.life)
	if !m.Ask(cancel) {
		cancel()
		return // somebody is being asked
	}

	p.supervisor.Go(func() {
		defer m.Withdraw()
		why = cmp.Or(why, errors.New("nobody knows why"))
		reply, err := p.ask(ctx, Asked{
			Key:  path.Join(p.domain, m.Path),
			Text: fmt.Sprintf("%s (%s) has failed too often, and is tried again now and then: %v", m.What(), m.Site, why),
		}, func(string) error { return nil })
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ErrGivenUp):
			p.supervisor.Tell(tree.Stop, m.Path)
		case err != nil:
			p.log.Error("cannot ask", "about", m.What(), "why", err)
		case reply == control.Retry:
			p.supervisor.Tell(tree.Retry, m.Path)
		}
	})
}

// Verb has whoever operates the program call a function of it by a name, as long as the nursery lives:
//
//	divisi verbs PROGRAM
//	divisi do PROGRAM NAME ARGUMENT...
//
// The function may take a context, which ends when the operator goes away, and then values, which are read
// as in [Ask]; the last may be variadic. It may return a value, which is shown, an error, or both. In a
// nursery within another one the name begins with the path of that, as in eu/rebalance. Who may call it is
// whoever may open the program's control socket: its user.
//
// Arguments are the names by which an operator knows what the function takes, such as SHARD. Without them each is called
// by what is to be written, such as NUMBER.
func (n *Nursery) Verb(name string, f any, arguments ...string) error {
	site := caller()
	full, err := n.offer("verb", name, site)
	if err != nil {
		return err
	}
	forget, err := n.program.desk.Verb(full, site, "", f, arguments...)
	if err != nil {
		return err
	}
	context.AfterFunc(n.ctx, forget)
	return nil
}

// offer returns the name by which an operator knows something of the nursery.
func (n *Nursery) offer(what, name, site string) (string, error) {
	wrong := func(r rune) bool { return r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if name == "" || strings.ContainsFunc(name, wrong) || strings.HasPrefix(name, "-") {
		return "", fmt.Errorf("the %s %q (%s) has no name that an operator can write", what, name, site)
	}
	if n.ctx.Err() != nil {
		return "", fmt.Errorf("the %s %s (%s): the nursery %s has ended: %w", what, name, site, n.Path(), context.Cause(n.ctx))
	}
	return strings.TrimPrefix(path.Join(n.group, name), "/"), nil
}

// Tunable is a value that may be set while the program runs, and stays so when it runs again:
//
//	divisi do PROGRAM values
//	divisi do PROGRAM set NAME VALUE
type Tunable[T any] = operator.Tunable[T]

// Tune declares a value of a nursery that may be set, with the value that it has until somebody does. Check
// says why one cannot be meant; nil if each can. Whoever operates the program sees the value; that of a type whose
// MarshalText hides it is hidden there too.
func Tune[T any](n *Nursery, name string, value T, check func(T) error) (*Tunable[T], error) {
	site := caller()
	full, err := n.offer("value", name, site)
	if err != nil {
		return nil, err
	}
	t, forget, refused, err := operator.Tune(n.program.desk, full, site, value, check)
	if err != nil {
		return nil, err
	}
	if refused != nil {
		n.program.log.Warn("a value is as the program has it", "why", refused)
	}
	context.AfterFunc(n.ctx, forget)
	return t, nil
}

// open opens the desk of the program, and its front.
func (p *program) open(below *server.Host) (err error) {
	who := "user " + strconv.Itoa(os.Getuid())
	shelf := operator.NewShelf(below.Desk)
	p.shelf = shelf
	if err := shelf.PutCommand(operator.ThisCommand()); err != nil {
		p.log.Warn("nobody will know how the program was run", "why", err)
	}
	p.desk = operator.New(p.Name, who, shelf)
	p.desk.Say = func(q control.Question) {
		p.log.Warn("a question: divisi answer "+q.Key, "asks", q.Text)
		p.supervisor.Events.Add(event.Asked{Key: q.Key, Text: q.Text})
	}
	p.desk.Heard = func(q control.Question) {
		p.supervisor.Events.Add(event.Answered{Key: q.Key, Answer: string(q.Given.Kind)})
	}
	p.front, err = operator.NewFront(operator.System{
		Name: p.Name, Domain: p.domain, Host: below, Hosts: func() []operator.Place { return p.hosts.Places() }, Settled: p.settled.Load, Stop: p.stop, Over: p.supervisor.Over(),
		Events: &p.supervisor.Events, Members: p.supervisor.Members,
		Tell: func(kind tree.Kind, at string) { p.supervisor.Tell(kind, p.inTree(at)) },
		Renew: func(ctx context.Context, at string) (bool, error) {
			return p.supervisor.Renew(ctx, p.inTree(at))
		},
	}, p.desk)
	return err
}

// inTree returns the path in the tree of what operators know by its domain as well.
func (p *program) inTree(at string) string { return path.Join("/", strings.TrimPrefix(at, p.domain)) }

// note has it known, after the end of the program, on which other hosts it has servers.
func (p *program) note() {
	if err := p.hosts.Note(p.shelf, p.settled.Load()); err != nil {
		p.log.Warn("nobody will know, while the program does not run, that it has servers on other hosts", "why", err)
	}
}
