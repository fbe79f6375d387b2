package divisi_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/gen"
	"github.com/divisi-go/divisi/internal/gen/load"
)

var update = flag.Bool("update", false, "write the generated code of examples; if it does not "+
	"compile, remove it before")

// exampleFolders are those with components in test files, which divisi generate does not read.
var exampleFolders = []string{".", "divisitest"}

// exampleCode is the name of the generated code in these folders.
const exampleCode = "divisi_gen_test.go"

var mainField = regexp.MustCompile(`divisi\.Implements\[divisi\.Main\]\n`)

// TestExamplesAreGenerated generates the code of the examples as if they were a package, and
// compares it with what is there.
func TestExamplesAreGenerated(t *testing.T) {
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOPROXY", "off")
	repository, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range exampleFolders {
		dir := exampleModule(t, repository, folder)
		err := gen.Run(t.Context(), gen.Options{Dir: dir, Patterns: []string{"."}, Report: t.Output()})
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(dir, load.File))
		if err != nil {
			t.Fatal(err)
		}
		want = bytes.Replace(want, []byte("run: divisi generate\n"),
			[]byte("remove it, and run: go test -run TestExamplesAreGenerated -update .\n"), 1)
		file := filepath.Join(folder, exampleCode)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v): remove it, and run this test with -update", file, err)
		}
	}
}

// exampleModule makes a module of a folder's examples, with the import path of its external tests.
func exampleModule(t *testing.T, repository, folder string) string {
	t.Helper()
	dir := t.TempDir()
	path := strings.TrimSuffix("github.com/divisi-go/divisi/"+filepath.ToSlash(folder), "/.") + "_test"
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]string{
		"go.sum": string(sums),
		"go.mod": "module " + path + "\n\ngo 1.26.0\n\nrequire github.com/divisi-go/divisi v0.0.0\n\n" +
			"replace github.com/divisi-go/divisi => " + filepath.ToSlash(repository) + "\n",
	}
	var files []string
	for _, pattern := range []string{"example_*_test.go", "components_test.go"} {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(source, []byte("\nfunc Test")) {
			continue
		}
		// A program has one main component. Here are several, so each gets a name, which the
		// reader of an example is not shown.
		name := strings.TrimSuffix(filepath.Base(file), "_test.go")
		contents[name+".go"] = mainField.ReplaceAllString(string(source),
			"divisi.Implements[divisi.Main] `divisi:\""+strings.TrimPrefix(name, "example_")+"\"`\n")
	}
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
