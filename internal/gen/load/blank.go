package load

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/tools/go/packages"
)

// blanks stand in for generated files: a package clause each. The go command gets them as an
// overlay of its own, for export data; an overlay in packages.Config would make it useless and
// everything be read from source.
type blanks struct {
	dir      string // temporary
	flags    []string
	content  map[string][]byte          // by file
	declared map[string]map[string]bool // by package path: the names that the real file declares
}

// newBlanks makes a blank for every generated file of packages that can be edited.
func newBlanks(all map[string]*packages.Package) (*blanks, error) {
	b := &blanks{content: map[string][]byte{}, declared: map[string]map[string]bool{}}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		p := all[path]
		if p.Module == nil || p.Module.Version != "" && p.Module.Replace == nil {
			continue
		}
		// A broken file is in none of go list's lists of Go files.
		for _, file := range slices.Concat(p.GoFiles, p.OtherFiles, p.IgnoredFiles, besides(p)) {
			if filepath.Base(file) == File && b.content[file] == nil {
				b.add(p, file)
			}
		}
	}
	if len(b.content) == 0 {
		return b, nil
	}
	return b, b.write()
}

// besides returns the generated file that lies beside a package's files, if there is one.
func besides(p *packages.Package) []string {
	if len(p.GoFiles) == 0 {
		return nil
	}
	file := filepath.Join(filepath.Dir(p.GoFiles[0]), File)
	if _, err := os.Stat(file); err != nil {
		return nil
	}
	return []string{file}
}

func (b *blanks) add(p *packages.Package, file string) {
	name := p.Name
	for _, other := range append(slices.Clone(p.GoFiles), file) {
		if other == file && name != "" {
			break
		}
		f, err := parser.ParseFile(token.NewFileSet(), other, nil, parser.PackageClauseOnly)
		if err == nil {
			name = f.Name.Name
			break
		}
	}
	if name == "" {
		return
	}
	b.content[file] = fmt.Appendf(nil, "package %s\n", name)
	f, _ := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if f == nil {
		return
	}
	names := map[string]bool{}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			names[d.Name.Name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok {
					names[s.Name.Name] = true
				}
			}
		}
	}
	b.declared[p.PkgPath] = names
}

// write puts the blanks where the go command finds them.
func (b *blanks) write() error {
	dir, err := os.MkdirTemp("", "divisi-generate-")
	if err != nil {
		return fmt.Errorf("cannot make a directory for an overlay: %w", err)
	}
	b.dir = dir
	replace := map[string]string{}
	for i, file := range slices.Sorted(maps.Keys(b.content)) {
		blank := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(blank, b.content[file], 0o600); err != nil {
			return err
		}
		replace[file] = blank
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		return err
	}
	b.flags = []string{"-overlay=" + overlay}
	return nil
}

func (b *blanks) remove() {
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}

// parse is packages.Config.ParseFile.
func (b *blanks) parse(fset *token.FileSet, file string, src []byte) (*ast.File, error) {
	if blank, ok := b.content[file]; ok {
		src = blank
	}
	return parser.ParseFile(fset, file, src, parser.ParseComments|parser.SkipObjectResolution)
}
