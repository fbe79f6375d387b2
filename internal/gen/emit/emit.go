// Package emit writes the generated file of a package.
package emit

import (
	"fmt"
	"go/format"
	"go/types"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/divisi-go/divisi/internal/gen/check"
	"github.com/divisi-go/divisi/internal/gen/load"
	"github.com/divisi-go/divisi/internal/gen/shape"
)

const codegenPath = shape.Root + "/codegen"

// writer writes one file.
type writer struct {
	pkg      *check.Result
	b        strings.Builder
	imports  map[string]string // names by path
	declared map[string]bool   // names that the package itself has
	idents   map[string]bool   // package-level identifiers that are taken, and imports
	names    map[*shape.Shape]string
	wanted   map[string]bool // helpers that are used: enc, dec or copy, and the name
	queue    []*shape.Shape  // of helpers, in the order of their first use
	stubs    map[*check.Interface]string
	serves   map[*check.Method]string
}

// File returns the generated file of a package, or nil if it needs none.
func File(pkg *check.Result) ([]byte, error) {
	if len(pkg.Components)+len(pkg.Marshals) == 0 {
		return nil, nil
	}

	w := &writer{
		pkg:      pkg,
		imports:  map[string]string{},
		idents:   map[string]bool{},
		declared: map[string]bool{},
		names:    map[*shape.Shape]string{},
		wanted:   map[string]bool{},
		stubs:    map[*check.Interface]string{},
		serves:   map[*check.Method]string{},
	}

	maps.Copy(w.idents, pkg.Source.Names)
	maps.Copy(w.declared, pkg.Source.Names)
	var ifaces []*check.Interface
	for _, comp := range pkg.Components {
		if i := pkg.Interfaces[comp]; !slices.Contains(ifaces, i) && !comp.Info.Main {
			ifaces = append(ifaces, i)
			w.stubs[i] = w.unique("", lowerFirst(typeName(i.Type)), "Stub")
		}
	}

	w.registrations()
	for _, i := range ifaces {
		w.stub(i)
	}

	w.marshals()
	w.helpers()
	checks := w.b.String()
	w.b.Reset()
	w.checks(ifaces)
	checks = w.b.String() + checks

	var head strings.Builder
	fmt.Fprintf(&head, "%s\n// If this file does not compile, run: divisi generate\n\n", load.Header)
	if pkg.Constraint != "" {
		fmt.Fprintf(&head, "//go:build %s\n\n", pkg.Constraint)
	}

	fmt.Fprintf(&head, "package %s\n\n", pkg.Types.Name())
	w.importBlock(&head)
	return layOut(head.String() + checks)
}

// p writes a line. In the format, $name is a local variable, which is renamed where the package
// has a type with that name.
func (w *writer) p(text string, args ...any) {
	var b strings.Builder
	for i, part := range strings.Split(text, "$") {
		if i > 0 {
			end := 0
			for end < len(part) && isAlnum(part[end]) {
				end++
			}
			b.WriteString(w.local(part[:end]))
			part = part[end:]
		}
		b.WriteString(part)
	}

	fmt.Fprintf(&w.b, b.String()+"\n", args...)
}

func isAlnum(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' }

// local returns the name of a local variable.
func (w *writer) local(name string) string {
	for {
		_, isType := w.pkg.Types.Scope().Lookup(name).(*types.TypeName)
		if !isType {
			return name
		}
		name += "_"
	}
}

// registrations writes init.
func (w *writer) registrations() {
	if len(w.pkg.Components)+len(w.pkg.Sentinels)+len(w.pkg.ErrorTypes) == 0 {
		return
	}

	w.p("func init() {")
	for _, comp := range w.pkg.Components {
		w.registration(comp)
	}

	for _, v := range w.pkg.Sentinels {
		w.p("%s.RegisterSentinel(%q, %s)",
			w.codegen(), v.Pkg().Path()+"."+v.Name(), w.qualified(v.Pkg(), v.Name()))
	}

	for _, s := range w.pkg.ErrorTypes {
		name := types.TypeString(s.Type, (*types.Package).Path)
		w.p("%s.RegisterErrorType(%q, %s, %s)", w.codegen(), name, w.encFunc(s), w.decFunc(s))
	}

	w.p("}\n")
}

func (w *writer) registration(comp *check.Component) {
	iface := w.typ(comp.Iface)
	w.p("%s.Register[%s, %s](", w.codegen(), iface, w.typ(comp.Impl))
	w.p("%s,", quote(comp.Info.Text(), 86))
	i := w.pkg.Interfaces[comp]
	if comp.Info.Main {
		w.p("%s,", w.untyped(fmt.Sprintf("func(*%s.Client) %s", w.codegen(), iface)))
		w.p(")")
		return
	}

	w.p("func($c *%s.Client) %s { return %s{$c} },", w.codegen(), iface, w.stubs[i])
	for _, m := range i.Methods {
		more := ""
		if m.NotRetriable {
			more += fmt.Sprintf(" NotRetriable: %s,", w.predeclared("true"))
		}
		if m.Stream != nil {
			more += fmt.Sprintf(" Stream: %s,", w.predeclared("true"))
		}
		w.p("%s.Method[%s]{Name: %q, Layout: %#x,%s Serve: %s},",
			w.codegen(), iface, m.Name, m.Layout, more, w.serveName(i, m))
	}

	w.p(")")
}

// quote returns a string literal in pieces that fit on a line, broken at the ends of lines where
// possible.
func quote(s string, width int) string {
	var pieces []string
	piece := ""
	for line := range strings.Lines(s) {
		for len(line) > width {
			if piece != "" {
				pieces, piece = append(pieces, piece), ""
			}
			end := width
			for !utf8.RuneStart(line[end]) {
				end--
			}
			pieces, line = append(pieces, line[:end]), line[end:]
		}

		if len(strconv.Quote(piece+line)) > width && piece != "" {
			pieces, piece = append(pieces, piece), ""
		}

		piece += line
	}

	pieces = append(pieces, piece)
	for i, p := range pieces {
		pieces[i] = strconv.Quote(p)
	}

	return strings.Join(pieces, "+\n")
}

// importBlock writes the imports, the standard library first.
func (w *writer) importBlock(b *strings.Builder) {
	std, other := []string{}, []string{}
	for _, path := range slices.Sorted(maps.Keys(w.imports)) {
		line := strconv.Quote(path)
		if name := w.imports[path]; name != w.packageName(path) {
			line = name + " " + line
		}
		if w.pkg.Source.Std(path) {
			std = append(std, line)
		} else {
			other = append(other, line)
		}
	}

	b.WriteString("import (\n")
	for _, line := range std {
		b.WriteString(line + "\n")
	}

	b.WriteString("\n")
	for _, line := range other {
		b.WriteString(line + "\n")
	}

	b.WriteString(")\n\n")
}

// layOut formats a file and breaks its long lines.
func layOut(src string) ([]byte, error) {
	for range 10 {
		out, err := format.Source([]byte(src))
		if err != nil {
			return nil, fmt.Errorf("generated code does not parse (this is a bug of the generator): %w\n%s",
				err, src)
		}
		wrapped := wrap(string(out))
		if wrapped == string(out) {
			return out, nil
		}
		src = wrapped
	}

	return format.Source([]byte(src))
}
