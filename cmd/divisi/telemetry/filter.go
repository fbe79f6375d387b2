package telemetry

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/divisi-go/divisi/internal/name"
)

// Filter chooses entries. Empty fields choose all.
type Filter struct {
	Since     time.Time         // this time and later
	Until     time.Time         // this time and earlier
	Kind      string            // KindEvent or KindLog
	Component string            // full or short name, or the part of the short one after the dot
	Replica   string            // as name.IsChosen takes it
	Version   string            // the beginning of one
	Level     string            // this one and above; printed lines count as info
	Text      string            // in the message or the value of an attribute, in capitals or not
	Attrs     map[string]string // all of these
	Expr      string            // a condition in the language of expr-lang.org; levels have an order

	program *vm.Program
}

// levels by severity. Levels between these count as the one below.
var levels = map[string]int{"debug": 0, "info": 1, "stdout": 1, "stderr": 1, "warn": 2, "error": 3}

// severity returns where a level stands. That of a logger's own is written as slog does it:
// "warn+2" is between warn and error, "debug-4" below debug.
func severity(level string) int {
	level = strings.ToLower(level)
	if base, _, ok := strings.Cut(level, "-"); ok {
		return levels[base] - 1
	}
	base, _, _ := strings.Cut(level, "+")
	return levels[base]
}

// fields are what an expression may name.
func fields(e Entry) map[string]any {
	attrs := e.Attrs
	if attrs == nil {
		attrs = map[string]string{}
	}
	return map[string]any{
		"time": e.Time, "kind": cmp.Or(e.Kind, KindLog), "level": e.Level, "msg": e.Msg, "component": e.Component,
		"replica": e.Replica, "version": e.Version, "file": e.File, "line": e.Line, "attrs": attrs,
	}
}

// Compile checks the filter. It must be called before Match.
func (f *Filter) Compile() error {
	if f.Level != "" {
		if err := checkLevel(f.Level); err != nil {
			return err
		}
	}

	if kinds := []string{KindEvent, KindLog}; f.Kind != "" && !slices.Contains(kinds, f.Kind) {
		return fmt.Errorf("unknown kind %q: %s", f.Kind, name.Suggest(f.Kind, kinds))
	}
	if f.Expr == "" {
		return nil
	}

	order := &levelOrder{}
	program, err := expr.Compile(f.Expr, expr.Env(fields(Entry{})), expr.AsBool(), expr.Patch(order),
		expr.Function("severity", func(args ...any) (any, error) { return severity(args[0].(string)), nil },
			severity))
	if order.err != nil {
		err = order.err
	}
	if err != nil {
		return fmt.Errorf("the expression %q is not a condition over %s: %w", f.Expr,
			strings.Join(slices.Sorted(maps.Keys(fields(Entry{}))), ", "), err)
	}

	f.program = program
	return nil
}

func checkLevel(level string) error {
	if _, ok := levels[level]; ok {
		return nil
	}
	return fmt.Errorf("unknown level %q: %s", level,
		name.Suggest(level, slices.Sorted(maps.Keys(levels))))
}

// levelOrder has "level >= "warn"" compare severities rather than letters.
type levelOrder struct{ err error }

// Visit implements ast.Visitor.
func (o *levelOrder) Visit(node *ast.Node) {
	b, ok := (*node).(*ast.BinaryNode)
	if !ok || !slices.Contains([]string{"<", "<=", ">", ">="}, b.Operator) {
		return
	}

	isLevel := func(n ast.Node) bool {
		i, ok := n.(*ast.IdentifierNode)
		return ok && i.Value == "level"
	}
	if !isLevel(b.Left) && !isLevel(b.Right) {
		return
	}

	for _, side := range []*ast.Node{&b.Left, &b.Right} {
		if s, ok := (*side).(*ast.StringNode); ok && o.err == nil {
			o.err = checkLevel(s.Value)
		}
		*side = &ast.CallNode{
			Callee: &ast.IdentifierNode{Value: "severity"}, Arguments: []ast.Node{*side},
		}
	}
}

// Match reports whether an entry is chosen.
func (f *Filter) Match(e Entry) bool {
	if f.Component != "" && !IsComponent(f.Component, e.Component) {
		return false
	}
	if !name.IsChosen(e.Replica, f.Replica) || !strings.HasPrefix(e.Version, f.Version) {
		return false
	}
	if !f.Since.IsZero() && e.Time.Before(f.Since) || !f.Until.IsZero() && e.Time.After(f.Until) {
		return false
	}
	if f.Kind != "" && (f.Kind == KindEvent) != (e.Kind == KindEvent) {
		return false
	}
	if f.Level != "" && severity(e.Level) < severity(f.Level) {
		return false
	}

	for key, value := range f.Attrs {
		if e.Attrs[key] != value {
			return false
		}
	}

	if f.Text != "" && !hasText(e, strings.ToLower(f.Text)) {
		return false
	}
	if f.program == nil {
		return true
	}

	result, err := expr.Run(f.program, fields(e))
	return err == nil && result == true
}

func hasText(e Entry, lower string) bool {
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), lower) }
	for _, value := range e.Attrs {
		if has(value) {
			return true
		}
	}
	return has(e.Msg)
}

// IsComponent reports whether an entry's component is the one that was asked for. Either may be a
// full name or a short one.
func IsComponent(asked, component string) bool {
	if component == "" {
		return false
	}
	short := name.Short(component)
	return asked == component || strings.EqualFold(name.Short(asked), short) ||
		strings.EqualFold(asked, short[strings.LastIndexByte(short, '.')+1:])
}
