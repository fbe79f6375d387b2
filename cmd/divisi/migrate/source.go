package migrate

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A place is what an imported package has become.
type place struct {
	path string // "" if there is nothing like it
	name string // by which code refers to the package that it came from
	why  string // there is nothing
}

// places are the packages that applications import.
var places = map[string]place{
	weaver:                 {path: divisi, name: "weaver"},
	weaver + "/weavertest": {path: divisi + "/divisitest", name: "weavertest"},
	weaver + "/metrics":    {path: divisi + "/metrics", name: "metrics"},
	weaver + "/metadata":   {path: divisi + "/metadata", name: "metadata"},
	weaver + "/sim": {why: "there is no simulator: test by package divisitest, with fakes, or in the bubbles of " +
		"testing/synctest"},
	weaver + "/runtime/codegen": {why: "it is for generated code: what this package does by it is done by " + divisi + "/codegen, in other words"},
}

// elsewhere is what is said of other packages of Service Weaver.
const elsewhere = "it is a package of deployers: Divisi has no counterpart that applications import"

// byHand are methods that Service Weaver calls, and Divisi does not.
var byHand = map[string]string{
	"WeaverMarshal":   "it is not called: write MarshalBinary, of encoding.BinaryMarshaler, in its place",
	"WeaverUnmarshal": "it is not called: write UnmarshalBinary, of encoding.BinaryUnmarshaler, in its place",
}

// generates is the command in a go:generate line.
var generates = regexp.MustCompile(`^(//go:generate\s+)(?:\S*/)?weaver(\s+generate\b)|` +
	`^(//go:generate\s+)go run ` + weaver + `/cmd/weaver(?:@\S+)?(\s+generate\b)`)

// edit replaces some bytes of a file.
type edit struct {
	from, to int
	text     string
}

// source plans what becomes of a file of Go.
func (p *Plan) source(root fs.FS, at string) error {
	before, err := fs.ReadFile(root, at)
	if err != nil {
		return err
	}
	if path.Base(at) == "weaver_gen.go" {
		return p.change(root, at, before, nil, []Note{{File: at, Text: "removed: divisi_gen.go takes its place"}})
	}
	if !bytes.Contains(before, []byte("weaver")) && !bytes.Contains(before, []byte("Weaver")) {
		return nil
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, at, before, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		p.Left = append(p.Left, Note{File: at, Text: "it is left as it is, for it is no Go: " + err.Error()})
		return nil
	}

	var edits []edit
	var notes []Note
	line := func(pos token.Pos) int { return set.Position(pos).Line }
	replace := func(node ast.Node, text, note string) {
		edits = append(edits, edit{set.Position(node.Pos()).Offset, set.Position(node.End()).Offset, text})
		notes = append(notes, Note{at, line(node.Pos()), note})
	}
	for _, spec := range parsed.Imports {
		old, err := strconv.Unquote(spec.Path.Value)
		if err != nil || old != weaver && !strings.HasPrefix(old, weaver+"/") {
			continue
		}
		now, known := places[old]
		switch {
		case !known:
			p.Left = append(p.Left, Note{at, line(spec.Pos()), "the import of " + old + ": " + elsewhere})
			continue
		case now.path == "":
			p.Left = append(p.Left, Note{at, line(spec.Pos()), "the import of " + old + ": " + now.why})
			continue
		}
		text := strconv.Quote(now.path)
		if spec.Name == nil && path.Base(now.path) != now.name {
			text = now.name + " " + text
		}
		replace(spec.Path, text, "imports "+text)
	}
	for _, group := range parsed.Comments {
		for _, c := range group.List {
			match := generates.FindStringSubmatchIndex(c.Text)
			if match == nil {
				continue
			}
			text := string(generates.ExpandString(nil, "${1}${3}divisi${2}${4}", c.Text, match)) + c.Text[match[1]:]
			replace(c, text, text)
		}
	}
	for _, decl := range parsed.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil && byHand[f.Name.Name] != "" {
			p.Left = append(p.Left, Note{at, line(f.Pos()), "the method " + f.Name.Name + ": " + byHand[f.Name.Name]})
		}
	}
	return p.change(root, at, before, apply(before, edits), notes)
}

// apply returns a file after edits. One that was formatted stays so, as the order of its imports may be another one now.
func apply(before []byte, edits []edit) []byte {
	slices.SortFunc(edits, func(a, b edit) int { return a.from - b.from })
	var after []byte
	end := 0
	for _, e := range edits {
		after = append(append(after, before[end:e.from]...), e.text...)
		end = e.to
	}
	after = append(after, before[end:]...)

	formatted, err := format.Source(before)
	if err != nil || !bytes.Equal(formatted, before) {
		return after
	}
	if formatted, err := format.Source(after); err == nil {
		return formatted
	}
	return after
}
