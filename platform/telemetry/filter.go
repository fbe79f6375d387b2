package telemetry

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/divisi-go/divisi/internal/name"
)

// Filter chooses entries. Empty fields choose all.
type Filter struct {
	Component string            // full or short name, or the part of the short one after the dot
	Replica   string            // name, or the beginning of one
	Version   string            // the beginning of one
	Level     string            // this one and above; printed lines count as info
	Attrs     map[string]string // all of these
	Expr      string            // a condition in the language of expr-lang.org

	program *vm.Program
}

// levels by severity.
var levels = map[string]int{"debug": 0, "info": 1, "stdout": 1, "stderr": 1, "warn": 2, "error": 3}

// fields are what an expression may name.
func fields(e Entry) map[string]any {
	attrs := e.Attrs
	if attrs == nil {
		attrs = map[string]string{}
	}
	return map[string]any{
		"time": e.Time, "level": e.Level, "msg": e.Msg, "component": e.Component,
		"replica": e.Replica, "version": e.Version, "file": e.File, "line": e.Line, "attrs": attrs,
	}
}

// Compile checks the filter. It must be called before Match.
func (f *Filter) Compile() error {
	if _, ok := levels[f.Level]; f.Level != "" && !ok {
		return fmt.Errorf("unknown level %q: %s", f.Level,
			name.Suggest(f.Level, slices.Sorted(maps.Keys(levels))))
	}
	if f.Expr == "" {
		return nil
	}
	program, err := expr.Compile(f.Expr, expr.Env(fields(Entry{})), expr.AsBool())
	if err != nil {
		return fmt.Errorf("the expression %q is not a condition over %s: %w", f.Expr,
			strings.Join(slices.Sorted(maps.Keys(fields(Entry{}))), ", "), err)
	}
	f.program = program
	return nil
}

// Match reports whether an entry is chosen.
func (f *Filter) Match(e Entry) bool {
	if f.Component != "" && e.Component != f.Component &&
		!strings.EqualFold(e.Component, name.Component(f.Component).Short()) &&
		!strings.EqualFold(e.Component[strings.LastIndexByte(e.Component, '.')+1:], f.Component) {
		return false
	}
	if !strings.HasPrefix(e.Replica, f.Replica) || !strings.HasPrefix(e.Version, f.Version) {
		return false
	}
	if f.Level != "" && levels[e.Level] < levels[f.Level] {
		return false
	}
	for key, value := range f.Attrs {
		if e.Attrs[key] != value {
			return false
		}
	}
	if f.program == nil {
		return true
	}
	result, err := expr.Run(f.program, fields(e))
	return err == nil && result == true
}
