package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/control"
)

// verb is a function of the program that an operator may call.
type verb struct {
	call  reflect.Value
	args  []reflect.Type // what an operator gives
	takes []control.Argument
	ctx   bool // the first argument is a context
	help  string
	site  string
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// Verb has an operator call a function by a name. It may take a context first, and then values that an
// operator can write, see [Parse]; the last may be variadic. It may return a value, which the operator is
// shown, an error, or both. Names are those of its arguments, for people; if there are none, each is called by what
// is wanted. Forget withdraws it.
func (d *Desk) Verb(name, site, help string, f any, names ...string) (forget func(), err error) {
	v, err := newVerb(f)
	if err == nil {
		err = v.describe(names)
	}
	if err != nil {
		return nil, fmt.Errorf("the verb %s (%s): %w", name, site, err)
	}
	v.help, v.site = help, site

	d.mu.Lock()
	defer d.mu.Unlock()
	if other := d.verbs[name]; other != nil {
		return nil, fmt.Errorf("the verb %s is there twice: at %s and at %s", name, other.site, site)
	}
	d.verbs[name] = v
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.verbs[name] == v {
			delete(d.verbs, name)
		}
	}, nil
}

func newVerb(f any) (*verb, error) {
	v := &verb{call: reflect.ValueOf(f)}
	if f == nil || v.call.Kind() != reflect.Func || v.call.IsNil() {
		return nil, fmt.Errorf("%T is no function", f)
	}

	t := v.call.Type()
	for i := range t.NumIn() {
		in := t.In(i)
		switch {
		case i == 0 && in == contextType:
			v.ctx = true
			continue
		case t.IsVariadic() && i == t.NumIn()-1:
			in = in.Elem()
		}
		switch in.Kind() {
		case reflect.Func, reflect.Chan, reflect.Interface, reflect.UnsafePointer:
			return nil, fmt.Errorf("nobody can write its argument %d, a %v", i+1, in)
		}
		v.args = append(v.args, in)
	}

	results := t.NumOut()
	if results > 2 || results == 2 && t.Out(1) != errorType {
		return nil, errors.New("it has to return nothing, a value, an error, or a value and an error")
	}
	return v, nil
}

// describe takes note of what the arguments are for people.
func (v *verb) describe(names []string) error {
	if len(names) > 0 && len(names) != len(v.args) {
		return fmt.Errorf("it takes %d arguments, and the names of %d are given: %s", len(v.args), len(names), strings.Join(names, ", "))
	}
	v.takes = []control.Argument{}
	for i, t := range v.args {
		name, wants := wanted(t)
		if len(names) > 0 {
			name = names[i]
		}
		v.takes = append(v.takes, control.Argument{Name: name, Wants: wants, Many: v.many(i)})
	}
	return nil
}

// many reports whether an argument may be given any number of times.
func (v *verb) many(i int) bool { return v.call.Type().IsVariadic() && i == len(v.args)-1 }

// Verbs returns what an operator can have done, by name.
func (d *Desk) Verbs() []control.Verb {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []control.Verb{}
	for name, v := range d.verbs {
		shown := control.Verb{Name: name, Args: v.types(), Takes: v.takes, Help: v.help, Who: d.who, Site: v.site}
		if t := v.call.Type(); t.NumOut() > 0 && t.Out(0) != errorType {
			shown.Answer, shown.Gives = t.Out(0).String(), given(t.Out(0))
		}
		list = append(list, shown)
	}
	slices.SortFunc(list, func(a, b control.Verb) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// types returns those of the arguments in Go.
func (v *verb) types() []string {
	list := []string{}
	for i, t := range v.args {
		text := t.String()
		if v.many(i) {
			text += "..."
		}
		list = append(list, text)
	}
	return list
}

// Do has the program do something, and returns its answer, nil if it has none.
func (d *Desk) Do(ctx context.Context, name string, args []string) (any, error) {
	v, err := d.find(name)
	if err != nil {
		return nil, err
	}
	in, err := v.parse(name, args)
	if err != nil {
		return nil, err
	}
	if v.ctx {
		in = append([]reflect.Value{reflect.ValueOf(ctx)}, in...)
	}
	return v.do(name, in)
}

// find returns a verb by its name, or by the unique end of that.
func (d *Desk) find(name string) (*verb, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.verbs[name]; v != nil {
		return v, nil
	}

	var found []string
	for other := range d.verbs {
		if strings.HasSuffix(other, "/"+name) {
			found = append(found, other)
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return nil, &control.Error{
			Code: control.NotFound, Text: fmt.Sprintf("%s has no verb %q", d.app, name),
			Way: "divisi verbs " + d.app + " lists them",
		}
	case 1:
		return d.verbs[found[0]], nil
	}
	return nil, &control.Error{
		Code: control.Invalid, Text: fmt.Sprintf("%s has several verbs %q", d.app, name),
		Way: "give one of " + strings.Join(found, ", "),
	}
}

// parse reads the arguments of a verb.
func (v *verb) parse(name string, args []string) ([]reflect.Value, error) {
	variadic := v.call.Type().IsVariadic()
	least := len(v.args)
	if variadic {
		least--
	}
	if len(args) < least || len(args) > least && !variadic {
		number := fmt.Sprint(least, " arguments")
		switch {
		case variadic:
			number = fmt.Sprint(least, " or more arguments")
		case least == 1:
			number = "1 argument"
		}
		return nil, &control.Error{
			Code: control.Invalid, Text: fmt.Sprintf("%s takes %s, and there are %d", name, number, len(args)),
			Way: "usage: " + control.Verb{Name: name, Takes: v.takes}.Usage(),
		}
	}

	in := make([]reflect.Value, len(args))
	for i, text := range args {
		value, err := Parse(v.args[min(i, len(v.args)-1)], text)
		if err != nil {
			return nil, &control.Error{
				Code: control.Invalid, Text: fmt.Sprintf("argument %d of %s: %v", i+1, name, err),
			}
		}
		in[i] = value
	}
	return in, nil
}

// do calls the function. A panic is an error.
func (v *verb) do(name string, in []reflect.Value) (answer any, err error) {
	defer func() {
		if r := recover(); r != nil {
			slog.Error("a verb panics", "verb", name, "why", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s panics: %v (the program has printed where)", name, r)
		}
	}()

	for _, out := range v.call.Call(in) {
		if out.Type() == errorType {
			err, _ = out.Interface().(error)
		} else {
			answer = out.Interface()
		}
	}
	return answer, err
}
