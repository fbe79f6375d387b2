//go:build linux || darwin

package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/artifact/manifest"
)

// tree is an artifact in memory.
type tree struct {
	manifest.Manifest
	contents map[string][]byte // by path
}

func (tr *tree) Contents(visit func(manifest.Entry, io.Reader) error) error {
	for _, f := range tr.Files {
		if f.Link != "" {
			continue
		}
		if err := visit(f, bytes.NewReader(tr.contents[f.Path])); err != nil {
			return err
		}
	}
	return nil
}

// treeOf makes an artifact of files by their paths; those in bin can be executed.
func treeOf(name string, files map[string]string) *tree {
	tr := &tree{manifest.Manifest{Name: name}, map[string][]byte{}}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		content := []byte(files[path])
		mode := int64(manifest.Plain)
		if strings.HasPrefix(path, "bin/") {
			mode = manifest.Executable
			tr.Run = []string{"{self}/" + path}
		}
		tr.contents[path] = content
		tr.Files = append(tr.Files, manifest.Entry{Path: path, Mode: mode, Size: int64(len(content)), SHA256: manifest.Sum(content)})
	}
	return tr
}

func newStore(t *testing.T) *Store { return NewStore(filepath.Join(t.TempDir(), "cas"), nothing) }

func sent(t *testing.T, s *Store, from Source) string {
	t.Helper()
	sum, err := Send(t.Context(), from, s)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func opened(t *testing.T, s *Store, sum string) *Tree {
	t.Helper()
	tree, err := s.Open(sum)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tree.Release)
	return tree
}

// TestSend has a tree arrive with its modes and links, run, and require another one.
func TestSend(t *testing.T) {
	s := newStore(t)
	tables := treeOf("tables", map[string]string{"small": "1\n", "large": "1\n"})
	program := treeOf("exampled", map[string]string{"bin/exampled": "#!/bin/sh\ncat $1\n", "lib/copy": "#!/bin/sh\ncat $1\n"})
	program.Run = append(program.Run, "{tables}/large")
	program.Requires = map[string]string{"tables": manifest.Sum(tables.Text())}
	program.Files = append(program.Files, manifest.Entry{Path: "lib/run", Link: "../bin/exampled"})

	if _, err := Send(t.Context(), program, s); !errors.Is(err, ErrRequires) {
		t.Errorf("without what it requires: %v", err)
	}
	sent(t, s, tables)
	tr := opened(t, s, sent(t, s, program))
	command := tr.Command()
	out, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil || string(out) != "1\n" {
		t.Errorf("%q prints %q, %v", command, out, err)
	}
	if info, err := os.Stat(filepath.Join(tr.Dir, "lib/copy")); err != nil || info.Mode() != 0o444 {
		t.Errorf("a plain file with the content of a program: %v, %v", info, err)
	}
	if names := folders(t, s); len(names) != 2 {
		t.Errorf("the store has %q", names)
	}
}

// lossy is a store behind a connection that is cut. It counts what was sent.
type lossy struct {
	*Store
	cut  func() (bytes, lost int64) // when it is cut, and how much of what was sent before does not arrive
	cuts int
	sent int64
}

var errCut = errors.New("the connection was cut")

// Put sends through a pipe, as to another process.
func (l *lossy) Put(ctx context.Context, sum, content string, offset int64, r io.Reader) error {
	in, out := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, lost := l.cut()
		arrived, err := io.CopyN(out, r, n-lost)
		l.sent += arrived
		if err == nil {
			l.sent += lost
			l.cuts++
			err = errCut
		}
		if err == io.EOF {
			err = nil
		}
		out.CloseWithError(err)
	}()
	err := l.Store.Put(ctx, sum, content, offset, in)
	in.CloseWithError(errCut)
	<-done
	return err
}

// TestCut has an artifact of 50 MB that is cut off 20 times arrive whole, with little sent twice.
func TestCut(t *testing.T) {
	const size, cuts = 50 << 20, 20
	seed := rand.Uint64()
	lots := rand.New(rand.NewPCG(seed, 1))
	random := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = source.Read(random)
	at := lots.IntN(size)
	tr := treeOf("large", map[string]string{"bin/large": string(random[:at]), "data": string(random[at:])})

	to := &lossy{Store: newStore(t)}
	to.cut = func() (bytes, lost int64) {
		if to.cuts == cuts {
			return size + 1, 0
		}
		bytes = 1 + lots.Int64N(size/cuts)
		return bytes, min(bytes, lots.Int64N(300<<10))
	}
	sum, tries := "", 0
	for err := errCut; err != nil; tries++ {
		sum, err = Send(t.Context(), tr, to)
		if err != nil && !errors.Is(err, errCut) || tries > 2*cuts {
			t.Fatalf("seed %d, try %d: %v", seed, tries, err)
		}
	}
	opened(t, to.Store, sum)
	if to.cuts != cuts || to.sent >= 60e6 {
		t.Errorf("seed %d: %d bytes were sent, with %d cuts", seed, to.sent, to.cuts)
	}
	t.Logf("%d bytes were sent, with %d cuts", to.sent, to.cuts)
}

// TestSparing has only the contents sent that are in no other artifact.
func TestSparing(t *testing.T) {
	to := &lossy{Store: newStore(t), cut: func() (int64, int64) { return 1 << 40, 0 }}
	libc := strings.Repeat("libc", 100_000)
	for i, want := range []int64{400_005, 5, 0} {
		to.sent = 0
		tr := treeOf("exampled", map[string]string{"bin/exampled": fmt.Sprint("main", min(i, 1)), "lib/libc": libc, "lib/again": libc})
		if _, err := Send(t.Context(), tr, to); err != nil || to.sent != want {
			t.Errorf("version %d: %d bytes were sent, want %d: %v", i, to.sent, want, err)
		}
	}
}

// TestWrongContent has what is not as it was announced leave nothing behind.
func TestWrongContent(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		want    error
	}{
		"another": {"two", manifest.ErrContent}, "longer": {"one and more", ErrLonger}, "shorter": {"o", manifest.ErrTruncated},
	} {
		s := newStore(t)
		tr := treeOf("x", map[string]string{"a": "one"})
		tr.contents["a"] = []byte(c.content)
		sum, err := Send(t.Context(), tr, s)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err := s.Commit(t.Context(), sum); !errors.Is(err, ErrIncomplete) {
			t.Errorf("%s: commit: %v", name, err)
		}
		if _, err := s.Open(sum); !errors.Is(err, ErrNone) {
			t.Errorf("%s: open: %v", name, err)
		}
		tr.contents["a"] = []byte("one")
		sent(t, s, tr)
	}
}

// TestPut has parts refused that do not fit, and those of others.
func TestPut(t *testing.T) {
	s := newStore(t)
	tr := treeOf("x", map[string]string{"a": "one"})
	text, content := tr.Text(), tr.Files[0].SHA256
	sum := manifest.Sum(text)
	ctx := t.Context()
	if err := s.Put(ctx, sum, content, 0, strings.NewReader("one")); !errors.Is(err, ErrNone) {
		t.Errorf("without a beginning: %v", err)
	}
	if _, err := s.Begin(ctx, text); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sum, content string
		offset       int64
		want         error
	}{
		{"../x", content, 0, ErrNone}, {sum, "../x", 0, ErrOffset}, {sum, content, 1, ErrOffset}, {sum, content, -1, ErrOffset},
	} {
		if err := s.Put(ctx, c.sum, c.content, c.offset, strings.NewReader("ne")); !errors.Is(err, c.want) {
			t.Errorf("Put of %q at %d of %q: %v, want %v", c.content, c.offset, c.sum, err, c.want)
		}
	}

	u, err := s.resume(sum)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, sum, content, 0, strings.NewReader("one")); !errors.Is(err, ErrBusy) {
		t.Errorf("while somebody else brings it: %v", err)
	}
	u.close()
	if err := s.Put(ctx, sum, content, 0, strings.NewReader("on")); !errors.Is(err, manifest.ErrTruncated) {
		t.Errorf("a part: %v", err)
	}
	missing, err := s.Begin(ctx, text)
	if err != nil || !slices.Equal(missing, []Missing{{content, 2}}) {
		t.Errorf("missing are %v, %v", missing, err)
	}
	sent(t, s, tr)
}

// TestDamage has a tree that was changed be no artifact any more until it is brought again.
func TestDamage(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"content": func(dir string) error {
			file := filepath.Join(dir, "share/a")
			return errors.Join(os.Chmod(file, 0o644), os.WriteFile(file, []byte("eno"), 0), os.Chmod(file, 0o444))
		},
		"mode":    func(dir string) error { return os.Chmod(filepath.Join(dir, "share/a"), 0o555) },
		"removed": func(dir string) error { return os.RemoveAll(filepath.Join(dir, "share")) },
		"replaced": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "share/a")), os.Mkdir(filepath.Join(dir, "share/a"), 0o700))
		},
		"link": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "to")), os.Symlink("/", filepath.Join(dir, "to")))
		},
		"more": func(dir string) error { return os.WriteFile(filepath.Join(dir, "share/b"), nil, 0o444) },
		"text": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, manifest.File)), os.WriteFile(filepath.Join(dir, manifest.File), []byte("name = \"y\"\n"), 0o444))
		},
	} {
		s := newStore(t)
		tr := treeOf("x", map[string]string{"share/a": "one", "c": "three"})
		tr.Files = append(tr.Files, manifest.Entry{Path: "to", Link: "share/a"})
		sum := sent(t, s, tr)
		if err := change(opened(t, s, sum).Dir); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(sum); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		sent(t, s, tr)
		opened(t, s, sum)
	}
}

// TestFull has an artifact that does not fit leave a disk as it was.
func TestFull(t *testing.T) {
	disk := smallDisk(t)
	if disk == "" {
		return
	}
	s := NewStore(filepath.Join(disk, "cas"), nothing)
	sent(t, s, treeOf("small", map[string]string{"a": "one"}))
	before := folders(t, s)
	large := treeOf("large", map[string]string{"a": strings.Repeat("x", 500_000), "b": strings.Repeat("y", 1<<20)})
	if _, err := Send(t.Context(), large, s); !errors.Is(err, ErrFull) {
		t.Errorf("the error is %v", err)
	}
	if after := folders(t, s); !slices.Equal(before, after) {
		t.Errorf("the store had %q, and has %q", before, after)
	}
	sent(t, s, treeOf("small", map[string]string{"a": strings.Repeat("z", 500_000)}))
}

// TestVersions has a name mean one artifact after the other, and go back.
func TestVersions(t *testing.T) {
	s := newStore(t)
	version := func(i int) *tree { return treeOf("x", map[string]string{"a": fmt.Sprint("version ", i)}) }
	var sums []string
	link := s.Link("x")
	for i := range 4 {
		sums = append(sums, sent(t, s, version(i)))
		if err := s.Switch(sums[i]); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(want string) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(link, "a"))
		if err != nil || string(got) != want {
			t.Errorf("%s has %q, %v, want %q", link, got, err, want)
		}
	}
	shows("version 3")
	for _, want := range []int{2, 1} {
		if err := s.Revert("x"); err != nil {
			t.Error(err)
		}
		if sum, err := s.Current("x"); err != nil || sum != sums[want] {
			t.Errorf("the current one is %s, %v, want version %d", sum, err, want)
		}
		shows(fmt.Sprint("version ", want))
	}
	if err := s.Revert("x"); !errors.Is(err, ErrOldest) {
		t.Errorf("Revert of the oldest: %v", err)
	}
	if err := s.Switch(sums[0]); err != nil {
		t.Error(err)
	}
	shows("version 0")
	if err := s.Revert("x"); err != nil {
		t.Error(err)
	}
	shows("version 3")
	for _, name := range []string{"y", "../x", ""} {
		if err := s.Revert(name); !errors.Is(err, ErrNone) {
			t.Errorf("Revert of %q: %v", name, err)
		}
	}
	if names, err := s.Names(); err != nil || !slices.Equal(names, []string{"x"}) {
		t.Errorf("the names are %q, %v", names, err)
	}
}

// TestCollection removes what neither a version of a name, nor what is needed, nor what runs requires, and what has
// not gone on to arrive for long.
func TestCollection(t *testing.T) {
	var need []string
	s := NewStore(filepath.Join(t.TempDir(), "cas"), func() ([]string, error) { return need, nil })
	lib := func(i int) *tree { return treeOf(fmt.Sprint("lib", i), map[string]string{"a": fmt.Sprint("lib ", i)}) }
	var sums []string
	for i := range 9 {
		requires := sent(t, s, lib(i))
		tr := treeOf(fmt.Sprint("x", i), map[string]string{"bin/x": fmt.Sprint("#!/bin/sh\nexit ", i)})
		tr.Requires = map[string]string{"lib": requires}
		sums = append(sums, sent(t, s, tr))
		old := time.Now().Add(time.Duration(i-100) * time.Minute)
		for _, sum := range []string{requires, sums[i]} {
			if err := os.Chtimes(filepath.Join(s.dir, kept+sum), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Switch(sums[0]); err != nil {
		t.Fatal(err)
	}
	running := opened(t, s, sums[1])
	need = []string{filepath.Join(s.dir, kept+sums[2], "bin/x")}

	late, fresh := lib(100), lib(101)
	for _, tr := range []*tree{late, fresh} {
		if _, err := s.Begin(t.Context(), tr.Text()); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * patience)
	lateDir, freshDir := filepath.Join(s.dir, arriving+manifest.Sum(late.Text())), filepath.Join(s.dir, arriving+manifest.Sum(fresh.Text()))
	if err := os.Chtimes(lateDir, long, long); err != nil {
		t.Fatal(err)
	}

	clean(t, s)
	for i, sum := range sums {
		tr, err := s.Open(sum)
		if stays := i <= 2 || i >= 8; stays != (err == nil) { // of 7 and 8, three folders are spare
			if i != 7 {
				t.Errorf("%d stays: %v, %v", i, stays, err)
			}
		}
		if err == nil {
			tr.Release()
		}
	}
	running.Release()
	_, lateErr := os.Stat(lateDir)
	_, freshErr := os.Stat(freshDir)
	if lateErr == nil || freshErr != nil {
		t.Errorf("of what arrives: %v, %v", lateErr, freshErr)
	}
}

// FuzzBegin has whatever arrives be kept as its sums say, or not at all, and nothing outside of the store.
func FuzzBegin(f *testing.F) {
	good := treeOf("x", map[string]string{"a": "one", "bin/b": "two"})
	f.Add(good.Text(), []byte("one"), []byte("two"))
	good.Files = append(good.Files, manifest.Entry{Path: "../../c", Mode: manifest.Plain, SHA256: good.Files[0].SHA256})
	f.Add(good.Text(), []byte("one and more"), []byte("t"))
	f.Fuzz(func(t *testing.T, text, one, two []byte) {
		dir := t.TempDir()
		s := NewStore(filepath.Join(dir, "cas"), nothing)
		missing, err := s.Begin(t.Context(), text)
		sum := manifest.Sum(text)
		for i, m := range missing {
			_ = s.Put(t.Context(), sum, m.SHA256, m.Have, bytes.NewReader([][]byte{one, two}[i%2]))
		}
		if err == nil {
			err = s.Commit(t.Context(), sum)
		}
		tree, openErr := s.Open(sum)
		if (err == nil) != (openErr == nil) {
			t.Errorf("commit: %v, open: %v", err, openErr)
		}
		if openErr == nil {
			tree.Release()
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 1 {
			t.Errorf("beside the store are %v, %v", entries, err)
		}
	})
}
