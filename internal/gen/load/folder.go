package load

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// survey looks at all files of a package's folder, also those that are not built now. A generated
// file is compiled together with each of them at some time.
func (p *Package) survey(built []string) {
	p.Names = map[string]bool{}
	p.Imported = map[string]bool{}
	p.Elsewhere = map[string]bool{}

	files, _ := filepath.Glob(filepath.Join(p.Dir, "*.go"))
	for _, name := range files {
		if filepath.Base(name) == File {
			continue
		}
		file, _ := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if file == nil || file.Name.Name != p.Name {
			continue
		}

		elsewhere := !slices.Contains(built, name) && !strings.HasSuffix(name, "_test.go")
		for _, declared := range declarations(file) {
			p.Names[declared] = true
			p.Elsewhere[declared] = p.Elsewhere[declared] || elsewhere
		}
		for _, spec := range file.Imports {
			p.Imported[p.ImportName(spec)] = true
		}
	}
}

// declarations returns the names that a file declares at its top level.
func declarations(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names
}

// ImportName returns the name that an import has in its file.
func (p *Package) ImportName(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	importPath := ImportPath(spec)
	if dep := p.deps[importPath]; dep != nil && dep.Name != "" {
		return dep.Name
	}
	return path.Base(importPath) // of a file that is not built now
}

// ImportPath returns the path that is imported.
func ImportPath(spec *ast.ImportSpec) string {
	return strings.Trim(spec.Path.Value, "\"`")
}

// Constraint returns the condition under which the file with a position is built, as a //go:build line
// has it, or "" if it always is.
func (p *Package) Constraint(pos token.Pos) string {
	for _, file := range p.Syntax {
		if file.FileStart <= pos && pos <= file.FileEnd {
			return fileConstraint(p.Fset.File(file.FileStart).Name(), file)
		}
	}
	return ""
}

func fileConstraint(name string, file *ast.File) string {
	var conditions []string
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if comment.Pos() > file.Package || !constraint.IsGoBuild(comment.Text) {
				continue
			}
			if expr, err := constraint.Parse(comment.Text); err == nil {
				conditions = append(conditions, expr.String())
			}
		}
	}
	conditions = append(conditions, nameConstraint(filepath.Base(name))...)
	for _, spec := range file.Imports {
		if ImportPath(spec) == "C" {
			conditions = append(conditions, "cgo")
		}
	}

	slices.Sort(conditions)
	conditions = slices.Compact(conditions)
	if len(conditions) > 1 {
		for i, c := range conditions {
			if strings.Contains(c, "||") {
				conditions[i] = "(" + c + ")"
			}
		}
	}
	return strings.Join(conditions, " && ")
}

// nameConstraint returns the operating system and the architecture in a file's name.
func nameConstraint(base string) []string {
	parts := strings.Split(strings.TrimSuffix(base, ".go"), "_")
	if len(parts) < 2 || !restricts(parts[len(parts)-1]) {
		return nil
	}
	parts = parts[max(1, len(parts)-2):]
	if len(parts) == 2 && !restricts(parts[0]) {
		parts = parts[1:]
	}
	return parts
}

// restricts reports whether the go command knows the end of a file's name as that of a system.
func restricts(end string) bool {
	nowhere := build.Context{GOOS: "none", GOARCH: "none", Compiler: "gc",
		OpenFile: func(string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("package p\n")), nil
		}}
	match, err := nowhere.MatchFile("", "x_"+end+".go")
	return err == nil && !match
}

// Excluded reports whether a file is not built with some tags.
func Excluded(file, tags string) bool {
	here := build.Default
	here.BuildTags = strings.FieldsFunc(tags, func(r rune) bool { return r == ',' || r == ' ' })
	match, err := here.MatchFile(filepath.Dir(file), filepath.Base(file))
	return err == nil && !match
}

// Std reports whether a package that is imported belongs to the standard library: it is in no module,
// and its path is one that modules that can be fetched do not have.
func (p *Package) Std(importPath string) bool {
	dep := p.deps[importPath]
	first, _, _ := strings.Cut(importPath, "/")
	return dep != nil && dep.Module == nil && !strings.Contains(first, ".")
}

// Source returns the files of a package that is imported, with their comments, wherever it was found.
func (p *Package) Source(importPath string) ([]*ast.File, error) {
	dep := p.deps[importPath]
	if dep == nil || len(dep.GoFiles) == 0 {
		return nil, fmt.Errorf("the go command does not say where the source of %s is", importPath)
	}
	var files []*ast.File
	for _, name := range dep.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil,
			parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}
