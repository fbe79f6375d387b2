package codegen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// notFound is an error type that keeps its type, used by pointer.
type notFound struct {
	what  string
	cause error
}

func (e *notFound) Error() string { return e.what + " not found" }
func (e *notFound) Unwrap() error { return e.cause }

func encNotFound(e *Encoder, v *notFound) {
	EncPtr(e, v, func(e *Encoder, v notFound) {
		e.String(v.what)
		e.Error(v.cause)
	})
}

func decNotFound(d *Decoder) *notFound {
	return DecPtr(d, func(d *Decoder) (v notFound) {
		v.what = d.String()
		v.cause = d.Error()
		return v
	})
}

// boxed can be compared as a type, but not with what may be inside of it.
type boxed struct{ v any }

func (boxed) Error() string { return "boxed" }

func newTestErrors() *Errors {
	var r registrations
	r.add(knownError{name: "test.known", value: errKnown})
	r.add(knownError{name: "test.nil"})
	r.add(knownError{
		name: "*test.notFound",
		typ:  reflect.TypeFor[*notFound](),
		enc:  func(e *Encoder, err error) { encNotFound(e, err.(*notFound)) },
		dec:  func(d *Decoder) error { return decNotFound(d) },
	})
	return newErrors(r.errors)
}

var fuzzErrors = newTestErrors()

// cross sends an error to another process.
func cross(t *testing.T, table *Errors, err error) error {
	t.Helper()
	e := Encoder{errors: table}
	e.Error(err)
	if e.err != nil {
		t.Fatalf("encoding %v: %v", err, e.err)
	}
	d := NewDecoder(e.buf, table)
	got := d.Error()
	if bad := d.Done(); bad != nil {
		t.Fatalf("decoding %v: %v", err, bad)
	}
	return got
}

func TestErrorsKeepIdentity(t *testing.T) {
	table := newTestErrors()
	unknown := errors.New("known") // the same text, another value
	_, pathErr := os.Open("/nonexistent/file")
	for _, test := range []struct {
		err    error
		is     []error
		isNot  []error
		exact  bool
		asType bool
	}{
		{err: nil, exact: true},
		{err: errKnown, exact: true},
		{err: io.EOF, exact: true},
		{err: context.DeadlineExceeded, exact: true},
		{err: unknown, isNot: []error{errKnown, unknown}},
		{err: fmt.Errorf("a: %w", errKnown), is: []error{errKnown}, isNot: []error{io.EOF}},
		{err: fmt.Errorf("a: %w, %w", errKnown, io.EOF), is: []error{errKnown, io.EOF}},
		{err: errors.Join(unknown, fmt.Errorf("b: %w", errKnown)), is: []error{errKnown}},
		{err: pathErr, is: []error{fs.ErrNotExist}, isNot: []error{syscall.ENOENT, fs.ErrExist}},
		{err: &notFound{what: "a"}, asType: true},
		{err: &notFound{"a", errKnown}, is: []error{errKnown}, asType: true},
		{err: fmt.Errorf("b: %w", &notFound{"a", io.EOF}), is: []error{io.EOF}, asType: true},
		{err: boxed{[]int{1}}},
		{err: boxed{1}},
	} {
		got := cross(t, table, test.err)
		if test.exact {
			if got != test.err {
				t.Errorf("%v came back as %v", test.err, got)
			}
			continue
		}
		if got.Error() != test.err.Error() {
			t.Errorf("%q came back as %q", test.err, got)
		}
		for _, is := range test.is {
			if !errors.Is(got, is) {
				t.Errorf("%v is no %v any more", test.err, is)
			}
		}
		for _, isNot := range test.isNot {
			if errors.Is(got, isNot) {
				t.Errorf("%v has become %v", test.err, isNot)
			}
		}
		if _, ok := errors.AsType[*notFound](got); ok != test.asType {
			t.Errorf("%v has the type %T", test.err, got)
		}
	}
	typed, _ := errors.AsType[*notFound](cross(t, table, &notFound{"a", errKnown}))
	if typed == nil || typed.what != "a" || typed.cause != errKnown {
		t.Errorf("the fields of a typed error came back as %+v", typed)
	}
}

func TestErrorsWithoutTable(t *testing.T) {
	got := cross(t, nil, fmt.Errorf("a: %w", io.EOF))
	if !errors.Is(got, io.EOF) || got.Error() != "a: EOF" {
		t.Errorf("error %v", got)
	}
}

func TestErrorThatPanics(t *testing.T) {
	got := cross(t, fuzzErrors, (*panicking)(nil))
	if !strings.Contains(got.Error(), "its Error method panicked") {
		t.Errorf("error %v", got)
	}
}

// brittle is an error whose methods panic when it is nil, and that cannot be compared.
type brittle struct {
	_     func() // cannot be compared
	cause error
}

func (*brittle) Error() string   { return "brittle" }
func (b *brittle) Unwrap() error { return b.cause }

type picky struct{ _ func() }

func (picky) Error() string { return "picky" }
func (picky) Is(error) bool { panic("not comparable") }

// TestErrorsThatPanic: whatever the methods of an error do, its text arrives, and nothing panics.
func TestErrorsThatPanic(t *testing.T) {
	for _, err := range []error{
		(*brittle)(nil), picky{}, fmt.Errorf("wraps %w", picky{}), errors.Join(picky{}, (*brittle)(nil)),
	} {
		if got := cross(t, fuzzErrors, err); got.Error() != err.Error() {
			t.Errorf("%T arrives as %v", err, got)
		}
	}
	if got := cross(t, fuzzErrors, errors.Join(picky{}, errKnown)); !errors.Is(got, errKnown) {
		t.Errorf("beside an error that panics another one is lost: %v", got)
	}

	table := newErrors(map[string]knownError{"*test.brittle": {
		name: "*test.brittle", typ: reflect.TypeFor[*brittle](),
		enc: func(e *Encoder, err error) { e.Error(err.(*brittle).cause) },
		dec: func(d *Decoder) error { return &brittle{cause: d.Error()} },
	}})
	if got := cross(t, table, (*brittle)(nil)); got.Error() != "brittle" {
		t.Errorf("a registered error that cannot be encoded arrives as %v", got)
	}
}

// panicking is an error whose text cannot be had when it is nil.
type panicking struct{ text string }

func (p *panicking) Error() string { return p.text }

func TestLargeErrorTrees(t *testing.T) {
	deep := errors.New("bottom")
	for i := range 1000 {
		deep = fmt.Errorf("%d: %w", i, deep)
	}
	wide := make([]error, 5000)
	for i := range wide {
		wide[i] = errKnown
	}
	typed := error(&notFound{what: "bottom"})
	for range 30 {
		typed = &notFound{"level", typed}
	}
	for _, err := range []error{deep, errors.Join(wide...), typed} {
		if got := cross(t, fuzzErrors, err); got.Error() != err.Error() {
			t.Errorf("%.50q came back as %.50q", err, got)
		}
	}
	e := Encoder{errors: fuzzErrors}
	e.Error(typed)
	if len(e.buf) > 10_000 {
		t.Errorf("30 errors in each other take %d bytes", len(e.buf))
	}
}

func TestCyclicTypedError(t *testing.T) {
	cyclic := &notFound{what: "me"}
	cyclic.cause = cyclic
	e := Encoder{errors: fuzzErrors}
	e.Error(cyclic)
	if !errors.Is(e.err, errNestedErrors) {
		t.Errorf("error %v", e.err)
	}
}

func FuzzErrors(f *testing.F) {
	for _, err := range []error{
		nil, errKnown, errors.New("other"), fmt.Errorf("a: %w, %w", errKnown, io.EOF),
		&notFound{"a", &notFound{"b", io.EOF}}, (*notFound)(nil),
	} {
		e := Encoder{errors: fuzzErrors}
		e.Error(err)
		f.Add(e.buf)
	}
	level := []byte{1, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}
	f.Add(bytes.Repeat(level, 2000))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := NewDecoder(data, fuzzErrors)
		err := d.Error()
		if d.Done() != nil || err == nil {
			return
		}
		if again := cross(t, fuzzErrors, err); errorText(again) != errorText(err) {
			t.Fatalf("%q came back as %q", errorText(err), errorText(again))
		}
	})
}
