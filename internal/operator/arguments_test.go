package operator

import (
	"strings"
	"testing"
)

// TestArguments: who tries an argument is told what to do, and that nothing was run.
func TestArguments(t *testing.T) {
	for arg, want := range map[string]struct {
		code      int
		out, text string
	}{
		"--help":   {0, "divisi stop orderd             # stops it\n", ""},
		"help":     {0, "orderd is a system that is a program.", ""},
		"status":   {2, "", "orderd: it takes no argument \"status\", and has not been run: divisi status orderd shows how it is\n"},
		"--stop":   {2, "", "orderd: it takes no argument \"--stop\", and has not been run: divisi stop orderd stops it\n"},
		"8080\x1b": {2, "", "it takes no argument \"8080\\x1b\", and has not been run: see "},
	} {
		var out, errOut strings.Builder
		code := refuse("orderd", arg, &out, &errOut)
		if code != want.code || !strings.Contains(out.String(), want.out) || !strings.Contains(errOut.String(), want.text) {
			t.Errorf("%q: %d, %q, %q", arg, code, out.String(), errOut.String())
		}
		if (want.code == 0) != (errOut.String() == "") {
			t.Errorf("%q is answered at the wrong place", arg)
		}
	}
}
