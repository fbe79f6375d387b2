package migrate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/internal/whole"
)

// The modules that an application comes from and goes to.
const (
	weaver = "github.com/ServiceWeaver/weaver"
	divisi = "github.com/divisi-go/divisi"
)

// Note is what was seen at a line of a file.
type Note struct {
	File string `json:"file"`
	Line int    `json:"line"` // 0: the file itself
	Text string `json:"text"`
}

func (n Note) String() string {
	if n.Line == 0 {
		return n.File + ": " + n.Text
	}
	return fmt.Sprintf("%s:%d: %s", n.File, n.Line, n.Text)
}

// A Plan is all that becomes of a folder. It changes nothing.
type Plan struct {
	Changed []Note   `json:"changed"` // what is changed
	Left    []Note   `json:"left"`    // what has to be done by hand, and why
	Modules []string `json:"modules"` // folders of the modules that change, seen from the folder
	Configs []string `json:"configs"` // files of configuration that go on as they are

	files []file
}

// file is a file before and after.
type file struct {
	path          string
	mode          fs.FileMode
	before, after []byte // after is nil if it is removed
}

// Target is where applications go to.
type Target struct {
	Version string // of the module; "" if this command is of no release
	Replace string // folder of a clone, in place of a release; may be empty
	All     bool   // whether scripts, workflows and documents are changed as well
}

// textMax bounds the files that are read, other than those of Go.
const textMax = 1 << 20

// errNoModule is why nothing can be migrated.
var errNoModule = errors.New("no go.mod")

// Make plans what becomes of a folder.
func Make(root fs.FS, to Target) (*Plan, error) {
	p := &Plan{}
	var modules, sources []string
	err := fs.WalkDir(root, ".", func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && passed(at):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		case entry.Name() == "go.mod":
			modules = append(modules, at)
			return nil
		case path.Ext(at) == ".go":
			sources = append(sources, at)
			return nil
		}
		return p.text(root, at, to.All)
	})
	if err != nil {
		return nil, err
	}
	if len(modules) == 0 {
		return nil, errNoModule
	}

	for _, at := range sources {
		if err := p.source(root, at); err != nil {
			return nil, err
		}
	}
	if err := p.modules(root, modules, to); err != nil {
		return nil, err
	}
	for _, notes := range [][]Note{p.Changed, p.Left} {
		slices.SortStableFunc(notes, func(a, b Note) int {
			return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
		})
	}
	return p, nil
}

// passed reports whether a folder is passed by: what others have made, and what no build sees.
func passed(at string) bool {
	base := path.Base(at)
	switch base {
	case ".", ".github", ".gitlab", ".circleci":
		return false
	case "vendor", "testdata", "node_modules":
		return true
	}
	return base[0] == '.' || base[0] == '_'
}

// change notes that a file becomes another one, if it does.
func (p *Plan) change(root fs.FS, at string, before, after []byte, notes []Note) error {
	if after != nil && bytes.Equal(before, after) {
		return nil
	}
	info, err := fs.Stat(root, at)
	if err != nil {
		return err
	}
	p.files = append(p.files, file{at, info.Mode().Perm(), before, after})
	p.Changed = append(p.Changed, notes...)
	return nil
}

// write makes the files what they are to be, below a folder.
func (p *Plan) write(dir string) error {
	for _, f := range p.files {
		at := filepath.Join(dir, filepath.FromSlash(f.path))
		if f.after == nil {
			if err := os.Remove(at); err != nil {
				return err
			}
			continue
		}
		if err := whole.Write(at, f.after, f.mode); err != nil {
			return err
		}
	}
	return nil
}
