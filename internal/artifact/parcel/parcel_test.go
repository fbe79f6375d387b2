//go:build unix

package parcel

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/artifact/archive"
	"github.com/divisi-go/divisi/internal/artifact/manifest"
)

// member is an entry of a tar.
type member struct {
	tar.Header
	content string
}

func file(name, content string) member {
	return member{tar.Header{Name: name, Mode: 0o644}, content}
}

func link(name, to string) member {
	return member{tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}, ""}
}

// packed returns a tar.
func packed(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		m.Size = int64(len(m.content))
		err := w.WriteHeader(&m.Header)
		_, failed := io.WriteString(w, m.content)
		if err := errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(plain)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func written(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "given")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSame: a folder, a tar of it and that compressed are the same artifact, and a store has its files.
func TestSame(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "bin/run")
	err := errors.Join(os.MkdirAll(filepath.Dir(script), 0o700), os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700),
		os.WriteFile(filepath.Join(dir, "page"), []byte("home"), 0o600), os.Symlink("../page", filepath.Join(dir, "bin/page")))
	if err != nil {
		t.Fatal(err)
	}
	run := file("./bin/run", "#!/bin/sh\n")
	run.Mode = 0o750
	plain := packed(t, member{tar.Header{Name: "./", Typeflag: tar.TypeDir}, ""}, file("page", "home"),
		member{tar.Header{Name: "./bin/", Typeflag: tar.TypeDir}, ""}, link("bin/page", "../page"), run, file("artifact.toml", "of another one"))

	store := artifact.NewStore(t.TempDir(), nil)
	sums := map[string]bool{}
	for _, from := range []string{dir, written(t, plain), written(t, zipped(t, plain))} {
		p, err := Tree("site", from, 100)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := artifact.Send(t.Context(), p, store)
		if err != nil {
			t.Fatal(err)
		}
		sums[sum] = true
		tree, err := store.Open(sum)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(tree.Dir, Folder, "bin/page"))
		info, missing := os.Stat(filepath.Join(tree.Dir, Folder, "bin/run"))
		if string(text) != "home" || err != nil || missing != nil || info.Mode().Perm() != 0o555 {
			t.Errorf("%q, %v, %v", text, err, missing)
		}
		tree.Release()
	}
	if len(sums) != 1 {
		t.Errorf("the sums differ: %v", sums)
	}
}

// TestProgram: a program can be executed, whatever the file said.
func TestProgram(t *testing.T) {
	p, err := Program("tool", written(t, []byte("#!/bin/sh\n")), 100)
	if err != nil {
		t.Fatal(err)
	}
	if f := p.Manifest.Files[0]; f.Path != "files/tool" || f.Mode != manifest.Executable {
		t.Errorf("%+v", f)
	}
	if _, err := Program("tool", t.TempDir(), 100); !errors.Is(err, ErrNoFile) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Program("../tool", written(t, nil), 100); err == nil {
		t.Error("a program may be anywhere")
	}
}

// TestRefused: what leads out, is too large, or is damaged is refused before anything is kept.
func TestRefused(t *testing.T) {
	good := packed(t, file("a", "one"), file("b", "two"))
	flipped := zipped(t, good)
	flipped[len(flipped)-6] ^= 1
	device := member{tar.Header{Name: "a", Typeflag: tar.TypeChar}, ""}
	hard := member{tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"}, ""}
	for name, test := range map[string]struct {
		content []byte
		want    error
	}{
		"absolute":          {packed(t, file("/etc/passwd", "x")), manifest.ErrEscapes},
		"up":                {packed(t, file("../x", "x")), manifest.ErrEscapes},
		"up inside":         {packed(t, file("a/../x", "x")), manifest.ErrEscapes},
		"folder up":         {packed(t, member{tar.Header{Name: "../", Typeflag: tar.TypeDir}, ""}), manifest.ErrEscapes},
		"link out":          {packed(t, link("a", "../artifact.toml")), manifest.ErrLink},
		"absolute link":     {packed(t, link("a", "/etc")), manifest.ErrLink},
		"through a link":    {packed(t, link("a", "b"), file("a/x", "x")), manifest.ErrDuplicate},
		"twice":             {packed(t, file("a", "x"), file("a", "y")), manifest.ErrDuplicate},
		"device":            {packed(t, device), archive.ErrKind},
		"hard link":         {packed(t, file("a", "x"), hard), archive.ErrKind},
		"too large":         {packed(t, file("a", strings.Repeat("x", 101))), manifest.ErrLimit},
		"bomb":              {zipped(t, packed(t, file("a", strings.Repeat("\x00", 1<<20)))), manifest.ErrLimit},
		"more at the end":   {zipped(t, append(bytes.Clone(good), make([]byte, 2<<20)...)), ErrMore},
		"no archive":        {[]byte(strings.Repeat("no archive ", 100)), ErrFormat},
		"short":             {[]byte("no archive"), ErrFormat},
		"nothing":           {packed(t), ErrEmpty},
		"empty":             {nil, manifest.ErrTruncated},
		"half":              {zipped(t, good)[:40], manifest.ErrTruncated},
		"half of the plain": {good[:700], manifest.ErrTruncated},
		"wrong sum":         {flipped, gzip.ErrChecksum},
	} {
		if _, err := Tree("site", written(t, test.content), 100); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if _, err := Tree("a b", written(t, good), 100); err == nil {
		t.Error("an artifact may have any name")
	}
}

// TestChanged: what has changed since it was described is not kept.
func TestChanged(t *testing.T) {
	for name, after := range map[string][]byte{
		"other":   packed(t, file("a", "owt")),
		"longer":  packed(t, file("a", "onetwo")),
		"shorter": packed(t, file("a", "o")),
		"gone":    packed(t, file("b", "one")),
		"link":    packed(t, link("a", "b")),
	} {
		from := written(t, packed(t, file("a", "one")))
		p, err := Tree("site", from, 100)
		if err == nil {
			err = os.WriteFile(from, after, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		store := artifact.NewStore(t.TempDir(), nil)
		sum, err := artifact.Send(t.Context(), p, store)
		if err == nil {
			t.Errorf("%s: it is kept", name)
		}
		if _, err := store.Open(sum); !errors.Is(err, artifact.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzTree(f *testing.F) {
	good := packed(f, file("a", "one"), link("b", "a"), file("c/../d", "two"))
	f.Add(good)
	f.Add(zipped(f, good))
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := Tree("site", written(t, content), 1<<16)
		if err != nil {
			return
		}
		size := int64(0)
		err = p.Contents(func(e manifest.Entry, content io.Reader) error {
			n, err := io.Copy(io.Discard, content)
			if n != e.Size {
				t.Errorf("%q has %d bytes, and %d in the manifest", e.Path, n, e.Size)
			}
			size += n
			return err
		})
		if err != nil || size != p.Manifest.Size() || size > 1<<16 {
			t.Errorf("%d bytes of %d: %v", size, p.Manifest.Size(), err)
		}
		if _, err := manifest.Parse(p.Text(), 1<<16); err != nil {
			t.Error(err)
		}
	})
}
