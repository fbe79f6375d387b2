package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// listed is what the go command says of a package.
type listed struct {
	Name       string
	ImportPath string
	Dir        string
	Standard   bool
	EmbedFiles []string
	Module     *struct {
		Main  bool
		GoMod string
	}
}

// Sources are what a program is made from, without other modules than the one, or the work space,
// that is worked on.
type Sources struct {
	Folders  []string // of packages, modules and embedded files
	packages []string // folders of packages and modules
	embedded []string // files
}

// Sources returns what the program is made from now.
func (p Package) Sources(ctx context.Context) (Sources, error) {
	packages, err := p.list(ctx, "-deps")
	if err != nil {
		return Sources{}, err
	}
	var s Sources
	for _, l := range packages {
		if l.Standard || l.Module != nil && !l.Module.Main {
			continue
		}
		s.packages = append(s.packages, l.Dir)
		if l.Module != nil && l.Module.GoMod != "" {
			s.packages = append(s.packages, filepath.Dir(l.Module.GoMod))
		}
		for _, file := range l.EmbedFiles {
			path := filepath.Join(l.Dir, file)
			s.embedded = append(s.embedded, path)
			s.Folders = append(s.Folders, filepath.Dir(path))
		}
	}
	s.Folders = append(s.Folders, s.packages...)
	slices.Sort(s.Folders)
	s.Folders = slices.Compact(s.Folders)
	return s, nil
}

// Has reports whether a file in one of the folders may change the program. In a folder that is
// there for embedded files all of them may.
func (s Sources) Has(path string) bool {
	switch filepath.Ext(path) {
	case ".go", ".mod", ".sum", ".work", ".c", ".h", ".s":
		return true
	}
	folder := filepath.Dir(path)
	return slices.Contains(s.embedded, path) ||
		slices.Contains(s.Folders, folder) && !slices.Contains(s.packages, folder)
}

// list asks the go command about packages. Errors in them, other than that there is none, are
// the compiler's to report.
func (p Package) list(ctx context.Context, flags ...string) ([]listed, error) {
	args := append([]string{"list", "-e", "-json=Name,ImportPath,Dir,Standard,EmbedFiles,Module"}, flags...)
	out, printed, err := p.run(ctx, append(args, p.Pattern)...)
	if err != nil {
		return nil, p.explain(ctx, printed, err)
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := decoder.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("cannot read what go list says: %w", err)
		}
		if l.Dir != "" {
			packages = append(packages, l)
		}
	}
	if len(packages) == 0 {
		return nil, &Error{Text: fmt.Sprintf("%s is no file, no folder and no package", p.Pattern),
			Way: "give the folder of a main package, its import path, a program, or a TOML file"}
	}
	return packages, nil
}
