package colors

import (
	"os"
	"testing"
)

func TestEnabled(t *testing.T) {
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // like a terminal, a character device
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	defer func() {
		os.Stdout, os.Stderr = stdout, stderr
		device.Close()
		file.Close()
	}()
	for _, tc := range []struct {
		stdout, stderr *os.File
		noColor, term  string
		want           bool
	}{
		{device, device, "", "xterm", true},
		{device, device, "", "", true},
		{device, device, "1", "xterm", false},
		{device, device, "", "dumb", false},
		{file, device, "", "xterm", false},
		{device, file, "", "xterm", false},
	} {
		t.Setenv("NO_COLOR", tc.noColor)
		t.Setenv("TERM", tc.term)
		os.Stdout, os.Stderr = tc.stdout, tc.stderr
		got := Enabled()
		os.Stdout, os.Stderr = stdout, stderr
		if got != tc.want {
			t.Errorf("NO_COLOR=%q TERM=%q on %s and %s: %v", tc.noColor, tc.term, tc.stdout.Name(), tc.stderr.Name(), got)
		}
	}
}
