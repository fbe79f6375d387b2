package refusal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
)

// TestUnderstood: errors are the same errors on the other side, and no others.
func TestUnderstood(t *testing.T) {
	all := []error{
		keeper.ErrRuns, keeper.ErrDiffers, keeper.ErrUnknown, keeper.ErrHeld, keeper.ErrBound, keeper.ErrFenced, keeper.ErrNoClaim,
		keeper.ErrInvalid, keeper.ErrClosed, ErrProtocol, syscall.ENOENT, fs.ErrNotExist,
	}
	for name, tc := range map[string]struct {
		err error
		is  []error
	}{
		"held":    {fmt.Errorf("no: %w", keeper.ErrHeld), []error{keeper.ErrHeld}},
		"bound":   {fmt.Errorf("no: %w, %w", keeper.ErrHeld, keeper.ErrBound), []error{keeper.ErrHeld, keeper.ErrBound}},
		"fenced":  {keeper.ErrFenced, []error{keeper.ErrFenced}},
		"system":  {fmt.Errorf("no: %w", syscall.ENOENT), []error{syscall.ENOENT, fs.ErrNotExist}},
		"unknown": {errors.New("no"), nil},
	} {
		line, err := json.Marshal(Told(tc.err))
		if err != nil {
			t.Fatal(err)
		}
		var said frame.Error
		if err := json.Unmarshal(line, &said); err != nil {
			t.Fatal(err)
		}
		got := Understood(&said)
		if got.Error() != tc.err.Error() {
			t.Errorf("%s: it says %q, want %q", name, got, tc.err)
		}
		for _, e := range all {
			if want := slices.Contains(tc.is, e); errors.Is(got, e) != want {
				t.Errorf("%s: it is %q: %v, want %v", name, e, !want, want)
			}
		}
	}
	if Told(nil) != nil || Understood(nil) != nil {
		t.Error("nothing is refused")
	}
}

// TestHint: what to do about an error comes with it, and a detail that is not understood is none.
func TestHint(t *testing.T) {
	err := Understood(Told(&frame.Error{Text: "no", Code: "held", Way: "wait", Detail: json.RawMessage(`["new"]`)}))
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) || hinted.Hint() != "wait" || !errors.Is(err, keeper.ErrHeld) {
		t.Errorf("%v", err)
	}
}
