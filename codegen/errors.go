package codegen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Errors cross processes as trees. Every node keeps its text; a node that is a registered
// sentinel decodes to the very same value, one of a registered type to an equal value, so that
// errors.Is and errors.As hold at the caller as they did at the callee. Any other node matches
// nothing: never by its text.

const (
	maxErrorDepth = 32
	maxErrorNodes = 256

	// maxNestedErrors bounds how deep errors of registered types hold each other in their fields.
	// Each has the text of all below it, so that a chain costs the square of its length.
	maxNestedErrors = 100
)

var errNestedErrors = fmt.Errorf("errors hold each other more than %d deep (are they cyclic?)", maxNestedErrors)

// Node kinds on the wire; those from kindFirst on are indexes into the table of known errors.
const (
	kindOpaque = 0
	kindFirst  = 1
)

// knownError is a registered sentinel, or a registered type.
type knownError struct {
	name  string
	value error // a sentinel
	typ   reflect.Type
	enc   func(*Encoder, error)
	dec   func(*Decoder) error
}

// Errors is the table of the errors that keep their identity between processes. It is a value
// of one application and does not change.
type Errors struct {
	list   []knownError // sorted by name, so equal in every process of one build
	byType map[reflect.Type]int
	byVal  map[error]int
}

// builtinErrors are known to every application.
var builtinErrors = map[string]error{
	"context.Canceled":         context.Canceled,
	"context.DeadlineExceeded": context.DeadlineExceeded,
	"errors.ErrUnsupported":    errors.ErrUnsupported,
	"io.EOF":                   io.EOF,
	"io.ErrClosedPipe":         io.ErrClosedPipe,
	"io.ErrNoProgress":         io.ErrNoProgress,
	"io.ErrShortBuffer":        io.ErrShortBuffer,
	"io.ErrShortWrite":         io.ErrShortWrite,
	"io.ErrUnexpectedEOF":      io.ErrUnexpectedEOF,
	"io/fs.ErrClosed":          fs.ErrClosed,
	"io/fs.ErrExist":           fs.ErrExist,
	"io/fs.ErrInvalid":         fs.ErrInvalid,
	"io/fs.ErrNotExist":        fs.ErrNotExist,
	"io/fs.ErrPermission":      fs.ErrPermission,
	"divisi.ErrPanic":          ErrPanic,
	"divisi.RemoteCallError":   ErrRemoteCall,
}

func newErrors(registered map[string]knownError) *Errors {
	all := maps.Clone(registered)
	if all == nil {
		all = map[string]knownError{}
	}
	for name, err := range builtinErrors {
		all[name] = knownError{name: name, value: err}
	}
	t := &Errors{byType: map[reflect.Type]int{}, byVal: map[error]int{}}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		known := all[name]
		if known.value == nil {
			t.byType[known.typ] = len(t.list)
		} else if reflect.ValueOf(known.value).Comparable() {
			t.byVal[known.value] = len(t.list)
		}
		t.list = append(t.list, known)
	}
	return t
}

// kind returns the index of an error in the table.
func (t *Errors) kind(err error) (int, bool) {
	if reflect.ValueOf(err).Comparable() {
		if i, ok := t.byVal[err]; ok {
			return i, true
		}
	}
	i, ok := t.byType[reflect.TypeOf(err)]
	return i, ok
}

// encode appends err's tree in pre-order: u16 kind, text, for a type its value, u16 number of
// children, the children.
func (t *Errors) encode(e *Encoder, err error) {
	nodes := maxErrorNodes
	t.encodeNode(e, err, 0, &nodes)
}

func (t *Errors) encodeNode(e *Encoder, err error, depth int, nodes *int) {
	*nodes--
	kind, known := t.kind(err)
	if known {
		known = t.encodeKnown(e, err, kind)
	}
	if !known {
		e.Uint16(kindOpaque)
		e.String(errorText(err))
	}

	var children []error
	if depth+1 < maxErrorDepth && !known { // a type has encoded its own causes with itself
		children = t.children(err)
		children = children[:max(0, min(len(children), *nodes))]
	}
	at := len(e.buf)
	e.Uint16(0)
	count := 0
	for _, child := range children {
		if *nodes <= 0 {
			break
		}
		t.encodeNode(e, child, depth+1, nodes)
		count++
	}
	e.buf[at], e.buf[at+1] = byte(count), byte(count>>8)
}

// encodeKnown appends the start of a node of a known kind. It reports false, having appended
// nothing, if the code of the error's type panics.
func (t *Errors) encodeKnown(e *Encoder, err error, kind int) bool {
	start := len(e.buf)
	e.Uint16(uint16(kind + kindFirst))
	e.String(errorText(err))

	enc := t.list[kind].enc
	if enc == nil {
		return true
	}
	if guarded("of encoding", func() error { enc(e, err); return nil }) != nil {
		e.buf = e.buf[:start]
		return false
	}
	return true
}

// children returns what an error unwraps to, and the sentinels that its Is method claims. An error
// whose methods panic, as those of a nil pointer may, has no more than they returned before.
func (t *Errors) children(err error) (list []error) {
	guarded("Unwrap", func() error {
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			list = append(list, u.Unwrap())
		case interface{ Unwrap() []error }:
			list = append(list, u.Unwrap()...)
		}
		return nil
	})
	list = slices.DeleteFunc(list, func(err error) bool { return err == nil })

	is, ok := err.(interface{ Is(error) bool })
	if !ok {
		return list
	}
	guarded("Is", func() error {
		for _, known := range t.list {
			if known.value != nil && !same(known.value, err) && is.Is(known.value) {
				list = append(list, known.value)
			}
		}
		return nil
	})
	return list
}

// same compares errors of any type: == panics for those that cannot be compared.
func same(a, b error) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// errorText survives errors whose Error method panics, as that of a nil pointer in an error.
func errorText(err error) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("%T (its Error method panicked: %v)", err, p)
		}
	}()
	return err.Error()
}

// decode reads a tree.
func (t *Errors) decode(d *Decoder) error {
	nodes := maxErrorNodes
	return t.decodeNode(d, 0, &nodes)
}

func (t *Errors) decodeNode(d *Decoder, depth int, nodes *int) error {
	if *nodes--; *nodes < 0 || depth >= maxErrorDepth {
		d.Fail(errors.New("an error tree is too large"))
		return nil
	}
	kind, text := int(d.Uint16()), d.String()
	var node error
	var wrapped *wireError
	switch {
	case kind == kindOpaque:
		wrapped = &wireError{text: text}
		node = wrapped
	case kind-kindFirst >= len(t.list):
		d.Fail(fmt.Errorf("an error of unknown kind %d: %s", kind, text))
		return nil
	default:
		known := t.list[kind-kindFirst]
		node = known.value
		if known.dec != nil {
			node = known.dec(d)
		}
	}
	for range d.Uint16() {
		child := t.decodeNode(d, depth+1, nodes)
		if d.err != nil {
			return nil
		}
		if wrapped != nil {
			wrapped.causes = append(wrapped.causes, child)
		}
	}
	return node
}

// wireError is an error whose type stayed behind in another process.
type wireError struct {
	text   string
	causes []error
}

func (e *wireError) Error() string   { return e.text }
func (e *wireError) Unwrap() []error { return e.causes }

// Error appends an error, or that there is none.
func (e *Encoder) Error(err error) {
	e.Bool(err != nil)
	switch {
	case err == nil:
	case e.kept != nil:
		*e.kept = append(*e.kept, err)
	case e.nested == maxNestedErrors:
		e.Fail(errNestedErrors)
	case e.Enter():
		e.nested++
		cmp.Or(e.errors, noErrors).encode(e, err)
		e.nested--
		e.Leave()
	}
}

// Error reads what Encoder.Error wrote.
func (d *Decoder) Error() error {
	if !d.Bool() {
		return nil
	}
	if d.kept != nil {
		err := (*d.kept)[0]
		*d.kept = (*d.kept)[1:]
		return err
	}
	if d.nested == maxNestedErrors {
		d.Fail(errNestedErrors)
	}
	if !d.Enter() {
		return nil
	}
	defer d.Leave()

	d.nested++
	defer func() { d.nested-- }()
	return cmp.Or(d.errors, noErrors).decode(d)
}

var noErrors = newErrors(nil)

var (
	// ErrRemoteCall is in every error of a call that failed on its way, not in the component.
	// It may have been executed not at all, once, or, if it is retriable, more often.
	ErrRemoteCall = errors.New("remote call failed")

	// ErrPanic is in the error that a caller gets when the method panicked.
	ErrPanic = errors.New("component panicked")
)

// codeError is thrown where a value cannot be encoded or decoded and no error can be returned.
type codeError struct{ error }

// panicText names what a method threw.
func panicText(method string, thrown any) string {
	text := fmt.Sprint(thrown)
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return method + ": " + text
}
