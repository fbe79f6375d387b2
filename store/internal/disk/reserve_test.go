package disk

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestReserve: it is taken where there is plenty, stays, and is given back where less is free than it has.
func TestReserve(t *testing.T) {
	dir := t.TempDir()
	small, huge := newReserve(dir, 4096), newReserve(dir, 1<<60)
	for range 2 {
		full, err := small.Mind()
		if full || err != nil {
			t.Fatalf("a disk with room is full: %v, %v", full, err)
		}
		info, err := os.Stat(small.path)
		if err != nil || info.Size() != 4096 {
			t.Fatalf("the reserve is %v: %v", info, err)
		}
	}
	for range 2 {
		full, err := huge.Mind()
		if !full || err != nil {
			t.Errorf("a disk with less than the reserve is full: %v, %v", full, err)
		}
		_, err = os.Stat(huge.path)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the reserve is still there: %v", err)
		}
	}

	none := newReserve(dir, -1)
	full, err := none.Mind()
	if full || err != nil {
		t.Errorf("without a reserve: %v, %v", full, err)
	}
	gone := newReserve(dir+"/gone", 4096)
	_, err = gone.Mind()
	if err == nil {
		t.Error("a folder that is not there has a disk")
	}
}
