package discover_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/discover"
	"github.com/divisi-go/divisi/discover/discovertest"
)

// onDisk is a file that is written in some way.
type onDisk struct {
	path  string
	write func(path, value string) error
}

func (f onDisk) Put(value string) error { return f.write(f.path, value) }
func (f onDisk) Delete() error          { return os.Remove(f.path) }

// inPlace writes a file where it is.
func inPlace(path, value string) error { return os.WriteFile(path, []byte(value), 0o600) }

// renamed writes a file beside another one, and puts it in its place.
func renamed(path, value string) error {
	err := os.WriteFile(path+".new", []byte(value), 0o600)
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// linked writes a file in a folder of its own, and moves a link to it, as Kubernetes does.
func linked(path, value string) error {
	folder, err := os.MkdirTemp(filepath.Dir(path), "version-")
	if err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(folder, "value"), []byte(value), 0o600)
	if err != nil {
		return err
	}
	err = os.Symlink(filepath.Join(folder, "value"), path+".new")
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// A file is a source however it is written.
func TestFile(t *testing.T) {
	for name, write := range map[string]func(path, value string) error{"in place": inPlace, "renamed": renamed, "linked": linked} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "value")
				discovertest.Conform(t, discover.File(path), onDisk{path, write})
			})
		})
	}
}

// A file of one folder is a source, whatever else is in the folder.
func TestFolderOfFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		folder := t.TempDir()
		check(t, os.Mkdir(filepath.Join(folder, "deeper"), 0o700))
		check(t, inPlace(filepath.Join(folder, ".hidden"), "x"))
		discovertest.Conform(t, discover.File(folder), onDisk{filepath.Join(folder, "a"), inPlace})
	})

	bubble(t, func(t *testing.T) {
		folder := t.TempDir()
		v := &discover.Value[map[string]int]{Source: discover.File(folder), Decode: discover.EachJSON[int]}
		follow(t, v)
		check(t, inPlace(filepath.Join(folder, "b"), "2"))
		check(t, inPlace(filepath.Join(folder, "a"), "1"))
		time.Sleep(3 * time.Second)
		if got := v.Load().Value; len(got) != 2 || got["a"] != 1 || got["b"] != 2 {
			t.Errorf("the folder has %v", got)
		}
	})
}

// A file that is written slowly is not read by halves.
func TestHalfWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "value")
		check(t, inPlace(path, "[1]"))
		v := &discover.Value[[]int]{Source: discover.File(path)}
		follow(t, v)
		time.Sleep(time.Second)

		file, err := os.Create(path)
		check(t, err)
		for part := range strings.SplitSeq("[1,2,3,4,5,6,7,8,9]", "") {
			_, err := file.WriteString(part)
			check(t, err)
			time.Sleep(15 * time.Millisecond)
			if s := v.Status(); s.Refusal != nil {
				t.Fatalf("half of the file was read: %v", s.Refusal)
			}
		}
		check(t, file.Close())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := v.Load().Value; len(got) != 9 {
			t.Errorf("there is %v", got)
		}
	})
}

// A file that is too long, or may not be read, is a failure, and not nothing.
func TestUnreadable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "value")
		check(t, os.WriteFile(path, make([]byte, 5<<20), 0o600))
		_, err := discover.File(path).Get(t.Context(), "")
		if err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("5 MB: %v", err)
		}

		_, err = discover.File(filepath.Join(path, "below")).Get(t.Context(), "")
		if err == nil || !strings.Contains(err.Error(), "below") {
			t.Errorf("below a file: %v", err)
		}
	})
}
