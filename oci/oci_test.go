package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/oci/ocitest"
)

// files returns what is below a folder, with what is in files and where links lead.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, _ := filepath.Rel(root, path)
		switch {
		case e.IsDir():
			all[name] = "/"
		case e.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			all[name] = "-> " + to
			return err
		default:
			text, err := os.ReadFile(path)
			all[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestUnpack: layers are applied in order, with what they hide, and links lead where they do in a process of the image.
func TestUnpack(t *testing.T) {
	one := ocitest.Layer(t, ocitest.Folder("etc"), ocitest.File("etc/a", "1"), ocitest.File("etc/b", "1"), ocitest.Folder("old"), ocitest.File("old/x", "1"), ocitest.Folder("old/deep"),
		ocitest.Link("run", "/var/run"), ocitest.Folder("var/run"), ocitest.Link("bin", "usr/bin"), ocitest.File("./usr/bin/tool", "tool"))
	two := ocitest.Layer(t, ocitest.File("etc/.wh.a", ""), ocitest.File("etc/b", "2"), ocitest.File("old/y", "2"), ocitest.File("old/.wh..wh..opq", ""),
		ocitest.File("run/pid", "7"), tar.Header{Name: "bin/again", Linkname: "bin/tool", Typeflag: tar.TypeLink})
	dir := ocitest.Write(t, ocitest.Image{Layers: [][]byte{one}, Machine: "pdp11"}, ocitest.Image{Layers: [][]byte{one, two}, Name: "best"})
	into := t.TempDir()
	for range 2 { // the second time it is there
		got, err := Unpack(dir, "", into)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Args, []string{"/bin/server", "--fast"}) || !slices.Equal(got.Env, []string{"A=b"}) || got.Dir != "/data" {
			t.Errorf("the image is %+v", got)
		}
		want := map[string]string{
			"etc": "/", "etc/b": "2", "old": "/", "old/y": "2", "run": "-> /var/run", "var": "/", "var/run": "/", "var/run/pid": "7",
			"bin": "-> usr/bin", "usr": "/", "usr/bin": "/", "usr/bin/tool": "tool", "usr/bin/again": "tool",
		}
		if all := files(t, got.Root); !reflect.DeepEqual(all, want) {
			t.Errorf("there is %q, want %q", all, want)
		}
	}
	if _, err := Unpack(dir, "best", into); err != nil {
		t.Error(err)
	}
}

// TestBad: a bad image has an error of its own, and leaves nothing.
func TestBad(t *testing.T) {
	defer func(before bounds) { most = before }(most)
	most.files, most.bytes = 10, 1000
	good := ocitest.Layer(t, ocitest.File("a", "1"))
	var many []tar.Header
	for i := range 11 {
		many = append(many, ocitest.File("f"+string(rune('a'+i)), ""))
	}
	bomb := make([]byte, 1<<20)
	for name, c := range map[string]struct {
		image ocitest.Image
		want  error
		words string
	}{
		"another name":          {ocitest.Image{Layers: [][]byte{good}, Name: "other"}, ErrNoImage, "best"},
		"another machine":       {ocitest.Image{Layers: [][]byte{good}, Name: "best", Machine: "pdp11"}, ErrNoImage, runtime.GOARCH},
		"damaged":               {ocitest.Image{Layers: [][]byte{good, ocitest.Layer(t, ocitest.File("b", "2"))}, Name: "best", Damage: 2}, ErrDamaged, "layer 2"},
		"other content":         {ocitest.Image{Layers: [][]byte{good}, Name: "best", Lie: 1}, ErrDamaged, "layer 1"},
		"a path that leads out": {ocitest.Image{Layers: [][]byte{ocitest.Layer(t, ocitest.File("../x", ""))}, Name: "best"}, ErrOutside, "../x"},
		"a link that leads out": {ocitest.Image{Layers: [][]byte{ocitest.Layer(t, ocitest.Link("a/x", "../../etc"))}, Name: "best"}, ErrOutside, "../../etc"},
		"hides what is outside": {ocitest.Image{Layers: [][]byte{ocitest.Layer(t, ocitest.File(".wh...", ""))}, Name: "best"}, ErrOutside, ".wh..."},
		"a device":              {ocitest.Image{Layers: [][]byte{ocitest.Layer(t, tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock, Devmajor: 8})}, Name: "best"}, ErrDevice, "dev/sda"},
		"a pipe":                {ocitest.Image{Layers: [][]byte{ocitest.Layer(t, tar.Header{Name: "p", Typeflag: tar.TypeFifo})}, Name: "best"}, ErrDevice, "p"},
		"too many files":        {ocitest.Image{Layers: [][]byte{ocitest.Layer(t, many...)}, Name: "best"}, ErrTooMuch, "11 files"},
		"too much":              {ocitest.Image{Layers: [][]byte{ocitest.Layer(t, ocitest.File("f", string(bomb)))}, Name: "best"}, ErrTooMuch, "1048576 bytes"},
		"hidden behind the end": {ocitest.Image{Layers: [][]byte{append(slices.Clone(good), bomb...)}, Name: "best"}, ErrTooMuch, "layer 1"},
		"links in a circle":     {ocitest.Image{Layers: [][]byte{ocitest.Layer(t, ocitest.Link("a", "b"), ocitest.Link("b", "a"), ocitest.File("a/x", ""))}, Name: "best"}, ErrTooMuch, "a/x"},
	} {
		t.Run(name, func(t *testing.T) {
			into := t.TempDir()
			_, err := Unpack(ocitest.Write(t, c.image), "best", into)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want %v with %q", err, c.want, c.words)
			}
			if left, err := os.ReadDir(into); err != nil || len(left) > 0 {
				t.Errorf("left is %v, %v", left, err)
			}
		})
	}
}

// FuzzLayer: whatever a layer is, nothing is written outside of its folder.
func FuzzLayer(f *testing.F) {
	f.Add(ocitest.Layer(f, ocitest.Folder("etc"), ocitest.File("etc/a", "1"), ocitest.Link("l", "/etc"), ocitest.File("l/b", "2"), ocitest.File("etc/.wh.a", "")))
	f.Add(ocitest.Layer(f, ocitest.Link("l", "../.."), ocitest.File("l/x", "")))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		inner := filepath.Join(dir, "inner")
		if err := os.Mkdir(inner, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(inner)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_ = (&tree{root: root}).layer(bytes.NewReader(content)) // it may be anything
		if beside, err := os.ReadDir(dir); err != nil || len(beside) != 1 {
			t.Errorf("beside the folder is %v, %v", beside, err)
		}
	})
}
