//go:build unix

package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/artifact/manifest"
)

// folder makes files in a folder, by their paths; those in bin can be executed.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		file := filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(file), 0o700)
		mode := os.FileMode(0o600)
		if strings.HasPrefix(path, "bin/") {
			mode = 0o700
		}
		if err := errors.Join(err, os.WriteFile(file, []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// artifactOf returns what a folder is as an artifact.
func artifactOf(t testing.TB, dir string) (manifest.Manifest, map[string]string) {
	t.Helper()
	from, err := Tree(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := Entries(from)
	if err != nil {
		t.Fatal(err)
	}
	return manifest.Manifest{Name: "exampled", Files: files}, from
}

func packed(t testing.TB, dir string) []byte {
	t.Helper()
	m, from := artifactOf(t, dir)
	var b bytes.Buffer
	if err := Write(&b, m, from); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSame has the same files be the same archive, whoever has made them, and when.
func TestSame(t *testing.T) {
	files := map[string]string{"bin/exampled": "x", "lib/a": "a", "lib/b/c": "c", "lib.d": "d"}
	one, two := folder(t, files), folder(t, files)
	long := os.Chtimes(filepath.Join(two, "lib/a"), time.Time{}, time.Unix(1, 0))
	private := os.Chmod(filepath.Join(two, "lib.d"), 0o640)
	for _, dir := range []string{one, two} {
		if err := os.Symlink("bin/exampled", filepath.Join(dir, "run")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(long, private); err != nil {
		t.Fatal(err)
	}
	archive := packed(t, one)
	if !bytes.Equal(archive, packed(t, two)) {
		t.Error("two archives of the same files differ")
	}

	a, err := NewReader(bytes.NewReader(archive), manifest.MaxSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(); err != nil {
		t.Error(err)
	}
	if got := a.Manifest.Files; len(got) != 5 || got[0].Mode != manifest.Executable || got[4].Link != "bin/exampled" {
		t.Errorf("the files are %+v", got)
	}
}

// TestRefusals has what is no regular file and no link stay out.
func TestRefusals(t *testing.T) {
	dir := folder(t, nil)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Tree(dir); !errors.Is(err, ErrKind) || !strings.Contains(err.Error(), "pipe") {
		t.Errorf("the error is %v", err)
	}

	dir = folder(t, map[string]string{"a": "one"})
	m, from := artifactOf(t, dir)
	for _, content := range []string{"two", "longer", "x"} {
		if err := os.WriteFile(from["a"], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Write(io.Discard, m, from); err == nil || !strings.Contains(err.Error(), "is being written") {
			t.Errorf("a file that has become %q: %v", content, err)
		}
	}
}

// entry is one of a tar that nobody has packed.
type entry struct {
	header  tar.Header
	content string
}

// forge makes an archive of a manifest and other entries than that has.
func forge(t testing.TB, text []byte, entries ...entry) []byte {
	t.Helper()
	return forgeAll(t, append([]entry{{tar.Header{Name: manifest.File}, string(text)}}, entries...)...)
}

// forgeAll makes an archive of any entries.
func forgeAll(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for _, e := range entries {
		e.header.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBad has every archive that is not as its manifest says be an error of its own.
func TestBad(t *testing.T) {
	m, _ := artifactOf(t, folder(t, map[string]string{"a": "one", "b": "two"}))
	text := m.Text()
	a, b := entry{tar.Header{Name: "a"}, "one"}, entry{tar.Header{Name: "b"}, "two"}
	good := forge(t, text, a, b)
	trailing := func() []byte {
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		in, err := gzip.NewReader(bytes.NewReader(good))
		if err == nil {
			_, err = io.Copy(zip, in)
		}
		_, more := zip.Write(make([]byte, 1<<20))
		if err := errors.Join(err, more, zip.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-8] ^= 1 // the sum of gzip

	for name, c := range map[string]struct {
		archive []byte
		want    error
	}{
		"good":           {good, nil},
		"empty":          {nil, manifest.ErrTruncated},
		"no archive":     {[]byte("#!/bin/sh\nexit 0\n"), ErrFormat},
		"short":          {[]byte("no"), ErrFormat},
		"no manifest":    {forgeAll(t, a), ErrFormat},
		"wrong text":     {forge(t, []byte("nonsense"), a), manifest.ErrText},
		"half":           {good[:len(good)/2], manifest.ErrTruncated},
		"without end":    {good[:len(good)-4], manifest.ErrTruncated},
		"wrong sum":      {flipped, manifest.ErrContent},
		"other content":  {forge(t, text, entry{a.header, "one"}, entry{b.header, "owt"}), manifest.ErrContent},
		"longer":         {forge(t, text, entry{a.header, "oneone"}, b), manifest.ErrContent},
		"other order":    {forge(t, text, b, a), ErrForeign},
		"one too many":   {forge(t, text, a, b, entry{tar.Header{Name: "c"}, ""}), ErrForeign},
		"twice":          {forge(t, text, a, a, b), ErrForeign},
		"one missing":    {forge(t, text, a), manifest.ErrTruncated},
		"device":         {forge(t, text, entry{tar.Header{Name: "a", Typeflag: tar.TypeChar}, ""}, b), ErrKind},
		"hard link":      {forge(t, text, entry{tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, ""}, b), ErrKind},
		"link as file":   {forge(t, text, entry{tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/"}, ""}, b), ErrForeign},
		"folder as file": {forge(t, text, entry{tar.Header{Name: "a/", Typeflag: tar.TypeDir}, ""}, b), ErrKind},
		"more at end":    {trailing(), ErrForeign},
	} {
		archive, err := NewReader(bytes.NewReader(c.archive), manifest.MaxSize)
		if err == nil {
			err = archive.Verify()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := NewReader(bytes.NewReader(good), 5); !errors.Is(err, manifest.ErrLimit) {
		t.Errorf("an archive that is larger than allowed: %v", err)
	}
}

func FuzzNewReader(f *testing.F) {
	m, _ := artifactOf(f, folder(f, map[string]string{"a": "one", "bin/b": "two"}))
	f.Add(m.Text(), []byte("one"), "a", byte(tar.TypeReg), []byte{})
	f.Add(m.Text(), []byte(""), "../a", byte(tar.TypeSymlink), []byte{1})
	f.Fuzz(func(t *testing.T, text, content []byte, name string, kind byte, damage []byte) {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		w := tar.NewWriter(zip)
		for _, e := range []entry{{tar.Header{Name: manifest.File}, string(text)}, {tar.Header{Name: name, Typeflag: kind}, string(content)}} {
			e.header.Size = int64(len(e.content))
			if w.WriteHeader(&e.header) == nil {
				_, _ = w.Write([]byte(e.content))
			}
		}
		if err := errors.Join(w.Close(), zip.Close()); err != nil {
			return
		}
		archive := b.Bytes()
		for i, d := range damage {
			archive[(i*257+int(d))%len(archive)] ^= d
		}

		a, err := NewReader(bytes.NewReader(archive), 1<<20)
		if err != nil {
			return
		}
		size := int64(0)
		err = a.Contents(func(f manifest.Entry, content io.Reader) error {
			n, err := io.Copy(io.Discard, content)
			if err == nil && n != f.Size {
				t.Errorf("%q has %d bytes, and %d in the manifest", f.Path, n, f.Size)
			}
			size += n
			return err
		})
		if size > 1<<20 {
			t.Errorf("%d bytes were read of an artifact that may have 1 MB: %v", size, err)
		}
	})
}
