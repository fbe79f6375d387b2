package arch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestThirtyTwoBits checks the types of the root module as a compiler for machines with 32 bits does,
// where an int holds less than many a constant.
func TestThirtyTwoBits(t *testing.T) {
	type listed struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
		Module                  *struct{ Path string }
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json", "./...")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var own []listed
	exports := map[string]string{}
	for decoder := json.NewDecoder(out); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Path == module {
			own = append(own, p)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}

	fset := token.NewFileSet()
	config := types.Config{
		Sizes: types.SizesFor("gc", "386"),
		Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
			return os.Open(exports[path])
		}),
		Error: func(err error) { t.Error(err) },
	}
	for _, p := range own {
		var files []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		config.Check(p.ImportPath, fset, files, nil)
	}
	if len(own) < 20 {
		t.Errorf("only %d packages were checked", len(own))
	}
}
