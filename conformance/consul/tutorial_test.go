package consul

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// session is a part of the tutorial: what is typed, and what is answered.
var session = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

// TestTutorial types what docs/tutorial/consul.md says, and compares the answers, headers included.
func TestTutorial(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("curl is not installed")
		}
		t.Skip("curl is not installed")
	}
	text, err := os.ReadFile("../../docs/tutorial/consul.md")
	if err != nil {
		t.Fatal(err)
	}
	own, consuls := serveAt(t)
	dir := t.TempDir()
	shim := "#!/bin/sh\nshift\nverb=$1; shift\nexec " + binary + " $verb --store " + own + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "divisi"), []byte(shim), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, part := range session.FindAllStringSubmatch(string(text), -1) {
		var script, want strings.Builder
		for line := range strings.Lines(part[1]) {
			typed, is := strings.CutPrefix(line, "$ ")
			if !is {
				want.WriteString(line)
				continue
			}
			// An answer does not end its line. That of a request in the background is shown when it is waited for.
			switch request, background := strings.CutSuffix(typed, " &\n"); {
			case background:
				script.WriteString(request + " > later &\n")
			case typed == "wait\n":
				script.WriteString("wait\ncat later\necho\n")
			case strings.HasPrefix(typed, "curl"):
				script.WriteString(typed + "echo\n")
			default:
				script.WriteString(typed)
			}
		}
		cmd := exec.Command("sh", "-c", strings.ReplaceAll(script.String(), "localhost:8500", consuls))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if got := plain(said); got != plain([]byte(want.String())) {
			t.Errorf("%s\nit says\n%s\nand not\n%s", &script, got, &want)
		}
	}
}

// plain is text without what HTTP and terminals have around it, and without the date.
func plain(text []byte) string {
	text = bytes.ReplaceAll(text, []byte("\r"), nil)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "Date: ") && strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}
