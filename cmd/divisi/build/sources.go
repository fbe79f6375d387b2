package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// listed is what the go command says of a package. One that is imported and not there has no Dir.
type listed struct {
	Name          string
	ImportPath    string
	Dir           string
	Standard      bool
	EmbedPatterns []string
	Module        *moduleInfo
}

// moduleInfo is what the go command says of one.
type moduleInfo struct {
	Path    string
	Dir     string
	Main    bool
	Replace *struct{ Version string }
}

// local reports whether a module is worked on here: it is the main one, one of the work space, or a
// folder that stands for another module.
func (m *moduleInfo) local() bool { return m.Main || m.Replace != nil && m.Replace.Version == "" }

// Sources are what a program is made from, without modules that are not worked on here.
type Sources struct {
	// Folders are those of packages, modules and embedded files, and those on the way to them.
	// Some may not be there: what is imported or embedded may come after what names it.
	Folders  []string
	embedded []string // patterns of files, and of folders with all that is in them
}

// Sources returns what the program is made from now.
func (p Package) Sources(ctx context.Context) (Sources, error) {
	packages, err := p.list(ctx, "-deps")
	if err != nil {
		return Sources{}, err
	}
	var s Sources
	modules := map[string]string{} // folders by path
	for _, l := range packages {
		switch {
		case l.Dir == "" || l.Standard || l.Module != nil && !l.Module.local():
			continue
		case l.Module != nil:
			modules[l.Module.Path] = l.Module.Dir
			s.add(l.Module.Dir, l.Dir)
		default:
			s.add(l.Dir, l.Dir)
		}
		for _, pattern := range l.EmbedPatterns {
			s.embed(l.Dir, filepath.Join(l.Dir, strings.TrimPrefix(pattern, "all:")))
		}
	}
	for _, l := range packages {
		for module, dir := range modules {
			if below, ok := strings.CutPrefix(l.ImportPath, module+"/"); ok && l.Dir == "" {
				s.add(dir, filepath.Join(dir, below))
			}
		}
	}
	if out, _, err := p.run(ctx, "env", "GOWORK"); err == nil && filepath.IsAbs(string(out)) {
		s.Folders = append(s.Folders, filepath.Dir(string(out)))
	}
	slices.Sort(s.Folders)
	s.Folders = slices.Compact(s.Folders)
	return s, nil
}

// add adds a folder and those on the way to it from another.
func (s *Sources) add(from, folder string) {
	for ; len(folder) > len(from); folder = filepath.Dir(folder) {
		s.Folders = append(s.Folders, folder)
	}
	s.Folders = append(s.Folders, from)
}

// embed adds what matches a pattern of a package.
func (s *Sources) embed(dir, pattern string) {
	s.embedded = append(s.embedded, pattern)
	s.add(dir, filepath.Dir(pattern))
	matches, _ := filepath.Glob(pattern) // what is wrong with it, the compiler says
	for _, match := range matches {
		_ = filepath.WalkDir(match, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				s.add(dir, path)
			} else if path == match {
				s.add(dir, filepath.Dir(path))
			}
			return nil // what cannot be read now is listed when it has changed
		})
	}
}

// Has reports whether a change of a file, or of a folder, in one of the folders may change the
// program.
func (s Sources) Has(path string) bool {
	switch filepath.Ext(path) {
	case ".go", ".mod", ".sum", ".work", ".c", ".h", ".s":
		return true
	}
	if slices.Contains(s.Folders, path) {
		return true
	}
	for ; path != filepath.Dir(path); path = filepath.Dir(path) {
		for _, pattern := range s.embedded {
			if ok, _ := filepath.Match(pattern, path); ok {
				return true
			}
		}
	}
	return false
}

// list asks the go command about packages. Errors in them, other than that there is none, are
// the compiler's to report.
func (p Package) list(ctx context.Context, flags ...string) ([]listed, error) {
	args := append([]string{"list", "-e", "-json=Name,ImportPath,Dir,Standard,EmbedPatterns,Module"}, flags...)
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
		packages = append(packages, l)
	}
	if !slices.ContainsFunc(packages, func(l listed) bool { return l.Dir != "" }) {
		return nil, &Error{Text: fmt.Sprintf("%s is no file, no folder and no package", p.Pattern),
			Way: what}
	}
	return packages, nil
}
