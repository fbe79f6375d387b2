package home

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnit: where a unit has the keeper, clients look for it at one place, whatever their environment.
func TestUnit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	t.Setenv("XDG_RUNTIME_DIR", "/first")
	at := func() (Home, Unit) {
		t.Helper()
		h, err := At(dir)
		if err != nil {
			t.Fatal(err)
		}
		u, err := h.Unit()
		if err != nil {
			t.Fatal(err)
		}
		return h, u
	}
	before, none := at()
	if none != (Unit{}) || !strings.HasPrefix(before.Runtime, "/first/") {
		t.Errorf("without a unit: %+v, %+v", before, none)
	}

	unit := Unit{Name: "divisi-keeper.service", User: true, Runtime: before.Runtime}
	if err := before.SetUnit(unit); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "/second")
	if h, u := at(); u != unit || h != before {
		t.Errorf("with one: %+v, %+v", h, u)
	}

	for range 2 {
		if err := before.ForgetUnit(); err != nil {
			t.Fatal(err)
		}
	}
	if h, u := at(); u != (Unit{}) || !strings.HasPrefix(h.Runtime, "/second/") {
		t.Errorf("without it again: %+v, %+v", h, u)
	}
}

func TestUnitRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keeper", "unit.json")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", `{"name":"a.service"}`, `{"name":"a.service","runtime":"b"}`, `{"runtime":"/b"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := At(dir)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "divisi keeper install") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
