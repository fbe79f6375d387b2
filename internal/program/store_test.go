package program

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/artifact/manifest"
	"github.com/divisi-go/divisi/internal/artifact/parcel"
	"github.com/divisi-go/divisi/internal/home"
)

// TestPushed: what was pushed stays as long as a revision of an ensemble has it.
func TestPushed(t *testing.T) {
	runtime, err := os.MkdirTemp("/tmp", "program") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtime) })
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	h, err := home.At(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store := Store(h)
	var sums []string
	for n := range 6 {
		file := filepath.Join(t.TempDir(), "tool")
		if err := os.WriteFile(file, []byte(strconv.Itoa(n)), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := parcel.Program("tool", file, manifest.MaxSize)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := artifact.Send(t.Context(), p, store)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
	}
	revisions := h.Domain("/test").Ensemble
	named := `{"number":1,"content":{"exe.tool":"` + sums[0] + `"}}`
	if err := errors.Join(os.MkdirAll(revisions, 0o700), os.WriteFile(filepath.Join(revisions, "1.json"), []byte(named), 0o600)); err != nil {
		t.Fatal(err)
	}

	stays := func(want ...bool) {
		t.Helper()
		if err := store.Clean(); err != nil {
			t.Fatal(err)
		}
		for n, sum := range sums[:len(want)] {
			if _, err := store.Folder(sum); (err == nil) != want[n] {
				t.Errorf("%d: %v, and it stays is to be %v", n, err, want[n])
			}
		}
	}
	stays(true, false)
	if err := os.WriteFile(filepath.Join(revisions, "1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Clean(); err == nil {
		t.Error("a revision that cannot be read is passed over")
	}
	if err := os.Remove(filepath.Join(revisions, "1.json")); err != nil {
		t.Fatal(err)
	}
	stays(false)
}
