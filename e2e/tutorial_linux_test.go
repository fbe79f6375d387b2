package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestTutorial does what docs/tutorial.md says, from top to bottom.
func TestTutorial(t *testing.T) { follow(t, "tutorial") }

// TestSystemTutorial does what docs/tutorial/system.md says.
func TestSystemTutorial(t *testing.T) { follow(t, "tutorial/system") }

// TestEnsembleTutorial does what docs/tutorial/ensemble.md says.
func TestEnsembleTutorial(t *testing.T) { follow(t, "tutorial/ensemble") }

// TestAnyProgram does what docs/start.md says.
func TestAnyProgram(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	follow(t, "start")
}

// follow does what a document says, from top to bottom.
func follow(t *testing.T, document string) {
	t.Parallel()
	text, err := os.ReadFile("../docs/" + document + ".md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(document)+".txtar"), []byte(script(t, string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, withTerminal(params(t, dir)))
}

// Parts of the document. A file has its name at the end of the paragraph before it.
var (
	part    = regexp.MustCompile("(?ms)^(?:```(\\w+)\n(.*?)^```|<!--(.*?)-->)$")
	named   = regexp.MustCompile("`([a-z_/]+\\.(?:go|toml|py|html))`:\n\n$")
	stays   = regexp.MustCompile(`^(go|divisi) run `)
	forYou  = regexp.MustCompile(`\b(URL|PID)\b`)
	forTest = strings.NewReplacer("$HOME/divisi", "$ROOT", "localhost:8080", "localhost:0")
)

// script makes a testscript of the document: the commands of a reader, who types into a terminal what
// runs until it is stopped; the files; and the lines in comments, which check what a reader sees or
// do what the text asks for.
func script(t *testing.T, document string) string {
	t.Helper()
	var commands, files strings.Builder
	// Modules of others are those that the go command has already, where it has them.
	fmt.Fprintln(&commands, "env GOPROXY=file://$GOMODCACHE/cache/download,$GOPROXY\nenv GOSUMDB=off\nenv HOME=$WORK")
	for _, at := range part.FindAllStringSubmatchIndex(document, -1) {
		if at[2] < 0 {
			fmt.Fprintln(&commands, strings.TrimSpace(document[at[6]:at[7]]))
			continue
		}
		content := forTest.Replace(document[at[4]:at[5]])
		if document[at[2]:at[3]] == "sh" {
			for line := range strings.Lines(content) {
				commands.WriteString(typed(line))
			}
			continue
		}

		name := named.FindStringSubmatch(document[:at[0]])
		if name == nil {
			t.Fatalf("the document does not say which file this is:\n%s", content)
		}
		fmt.Fprintf(&commands, "cp $WORK/files/%s %[1]s\n", name[1])
		fmt.Fprintf(&files, "-- files/%s --\n%s", name[1], content)
	}
	return commands.String() + files.String()
}

// typed is a line of a script that does what a line typed by a reader does.
func typed(line string) string {
	line = forYou.ReplaceAllString(line, "$$$1")
	switch {
	case stays.MatchString(line):
		return "terminal start screen " + line
	case strings.HasPrefix(line, "cd "), strings.HasPrefix(line, "mkdir "):
		return line
	}
	return "exec " + line
}
