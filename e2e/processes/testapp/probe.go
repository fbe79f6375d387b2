package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/divisi-go/divisi"
)

// ErrRefused is a sentinel that must be recognised in another process.
var ErrRefused = errors.New("refused")

// TooLarge is an error with a value.
type TooLarge struct{ Limit int }

func (e TooLarge) Error() string { return fmt.Sprintf("larger than %d", e.Limit) }

// Nested holds what codecs are known to lose.
type Nested struct {
	Bytes []byte
	List  [][]string
	Table map[string][]int
	Next  *Nested
}

// Probe answers questions whose answers must not depend on where it runs.
type Probe interface {
	// Slices returns what it gets, and what it saw.
	Slices(ctx context.Context, a, b []int) (c, d []int, saw string, err error)

	// Nested returns what it gets, and what it saw.
	Nested(ctx context.Context, n Nested) (Nested, string, error)

	// Change changes its arguments, and returns one that it also keeps.
	Change(ctx context.Context, list []string, table map[string]int, n *Nested) ([]string, error)

	// Kept returns what Change has kept.
	Kept(ctx context.Context) ([]string, error)

	// Fail returns an error of a kind.
	Fail(ctx context.Context, kind string) (int, error)
}

type probe struct {
	divisi.Implements[Probe]
	kept []string
}

func (p *probe) Slices(_ context.Context, a, b []int) (c, d []int, saw string, err error) {
	return a, b, fmt.Sprintf("%#v %#v", a, b), nil
}

func (p *probe) Nested(_ context.Context, n Nested) (Nested, string, error) {
	return n, describe(n), nil
}

func describe(n Nested) string {
	text := fmt.Sprintf("%#v %#v %#v", n.Bytes, n.List, n.Table)
	if n.Next != nil {
		text += " -> " + describe(*n.Next)
	}
	return text
}

func (p *probe) Change(_ context.Context, list []string, table map[string]int, n *Nested) ([]string, error) {
	list[0] = "changed by the callee"
	table["new"] = 1
	n.Bytes[0] = 'X'
	n.Next = &Nested{}
	p.kept = list
	return list, nil
}

func (p *probe) Kept(context.Context) ([]string, error) { return p.kept, nil }

func (p *probe) Fail(_ context.Context, kind string) (int, error) {
	switch kind {
	case "sentinel":
		return 1, fmt.Errorf("cannot do it: %w", ErrRefused)
	case "typed":
		return 2, fmt.Errorf("cannot hold it: %w", TooLarge{7})
	case "joined":
		return 3, errors.Join(TooLarge{8}, ErrRefused)
	case "plain":
		return 4, errors.New("no name")
	case "deadline":
		return 5, fmt.Errorf("too slow: %w", context.DeadlineExceeded)
	case "panic":
		panic("the callee panics")
	}
	return 0, nil
}

// answers prints what Probe answers, and what became of what was sent to it.
func (a *app) answers(ctx context.Context, w *strings.Builder, _ int) error {
	p := a.probe.Get()
	for _, sent := range [][2][]int{{nil, {}}, {{}, nil}, {{1, 2}, {3}}} {
		c, d, saw, err := p.Slices(ctx, sent[0], sent[1])
		fmt.Fprintf(w, "slices: sent %#v, seen as %s, back as %#v %#v, %v\n", sent, saw, c, d, err)
	}
	for _, n := range []Nested{
		{},
		{Bytes: []byte{}, List: [][]string{}, Table: map[string][]int{}},
		{Bytes: []byte("b"), List: [][]string{nil, {}, {""}}, Table: map[string][]int{"nil": nil, "empty": {}},
			Next: &Nested{Bytes: []byte{}}},
	} {
		back, saw, err := p.Nested(ctx, n)
		fmt.Fprintf(w, "nested: seen as %s, back as %s, %v\n", saw, describe(back), err)
	}
	list, table, n := []string{"mine", "too"}, map[string]int{"old": 1}, &Nested{Bytes: []byte("abc")}
	back, err := p.Change(ctx, list, table, n)
	fmt.Fprintf(w, "change: back %q, %v; mine are %q %v %s\n", back, err, list, table, describe(*n))
	if len(back) > 0 {
		back[0] = "changed by the caller"
	}
	kept, err := p.Kept(ctx)
	fmt.Fprintf(w, "kept: %q, %v\n", kept, err)
	for _, kind := range []string{"none", "sentinel", "typed", "joined", "plain", "deadline", "panic"} {
		value, err := p.Fail(ctx, kind)
		var large TooLarge
		as := errors.As(err, &large)
		fmt.Fprintf(w, "fail %s: %d, is refused %t, is too large %t %d, is late %t, is remote %t: %v\n", kind, value,
			errors.Is(err, ErrRefused), as, large.Limit, errors.Is(err, context.DeadlineExceeded),
			errors.Is(err, divisi.RemoteCallError), err)
	}
	return nil
}
