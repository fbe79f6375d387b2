package load

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

func newBlanks() *blanks {
	return &blanks{content: map[string][]byte{}, declared: map[string]map[string]bool{}}
}

// addAll makes a blank for every generated file of packages that can be edited. It reports
// whether there were any that had none.
func (b *blanks) addAll(all map[string]*packages.Package) (added bool, err error) {
	before := len(b.content)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		p := all[path]
		if p.Module == nil || p.Module.Version != "" && p.Module.Replace == nil {
			continue
		}
		for _, dir := range dirs(p) {
			file := filepath.Join(dir, File)
			if _, err := os.Stat(file); err == nil && b.content[file] == nil {
				b.add(p, file)
			}
		}
	}
	if len(b.content) == before {
		return false, nil
	}
	return true, b.write()
}

// dirs returns the folder of a package. A package that is broken may have its files, the only
// sign of its folder, in any of the lists.
func dirs(p *packages.Package) []string {
	var dirs []string
	for _, file := range slices.Concat(p.GoFiles, p.OtherFiles, p.IgnoredFiles) {
		if dir := filepath.Dir(file); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// packageName returns the name that the files beside a generated file give their package.
func packageName(generated string) string {
	dir := filepath.Dir(generated)
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, file := range files {
		base := filepath.Base(file)
		if match, _ := build.Default.MatchFile(dir, base); base == File || !match ||
			strings.HasSuffix(base, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
		if err == nil {
			return f.Name.Name
		}
	}
	return ""
}

func (b *blanks) add(p *packages.Package, file string) {
	name := packageName(file)
	if name == "" {
		name = p.Name
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
	for _, name := range declarations(f) {
		names[name] = true
	}
	b.declared[p.PkgPath] = names
}

// write puts the blanks where the go command finds them.
func (b *blanks) write() error {
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "divisi-generate-")
		if err != nil {
			return fmt.Errorf("cannot make a directory for an overlay: %w", err)
		}
		b.dir = dir
	}
	replace := map[string]string{}
	for i, file := range slices.Sorted(maps.Keys(b.content)) {
		blank := filepath.Join(b.dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(blank, b.content[file], 0o600); err != nil {
			return err
		}
		replace[file] = blank
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	overlay := filepath.Join(b.dir, "overlay.json")
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
