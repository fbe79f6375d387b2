package run

import (
	"os"
	"testing"
)

// What nobody could be told as it is, is refused.
func TestArguments(t *testing.T) {
	_, err := resolve(t.Context(), os.Args[0], Options{Args: []string{"-name", "M\xfcller"}}, nil)
	if want := `the program cannot be given the argument "M\xfcller": it is no text in UTF-8`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := resolve(t.Context(), os.Args[0], Options{Args: []string{"-name", "Müller"}}, nil); err != nil {
		t.Error(err)
	}
}
