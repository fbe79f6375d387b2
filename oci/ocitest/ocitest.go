// Package ocitest makes OCI image layouts for tests.
package ocitest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Image is what a test puts into a layout.
type Image struct {
	Layers  [][]byte // as tar
	Damage  int      // the layer whose blob is another one; 0 for none
	Lie     int      // the layer whose sum in the configuration is wrong; 0 for none
	Name    string
	Machine string // default this one
}

// Layer returns a layer with entries. A name that ends in a slash is a folder.
func Layer(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		content := ""
		switch {
		case h.Typeflag != 0:
		case strings.HasSuffix(h.Name, "/"):
			h.Typeflag = tar.TypeDir
		default:
			h.Typeflag, content = tar.TypeReg, h.Linkname
			h.Linkname, h.Size = "", int64(len(content))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// File is an entry.
func File(name, content string) tar.Header { return tar.Header{Name: name, Linkname: content} }

// Link is an entry: a symbolic link.
func Link(name, to string) tar.Header {
	return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
}

// Folder is an entry.
func Folder(name string) tar.Header { return tar.Header{Name: name + "/"} }

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// Write returns a layout with images, in a folder of the test.
func Write(t testing.TB, images ...Image) string {
	t.Helper()
	dir := t.TempDir()
	put := func(path string, b []byte) {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(b []byte, media string) map[string]any {
		put("blobs/sha256/"+strings.TrimPrefix(sum(b), "sha256:"), b)
		return map[string]any{"mediaType": "application/vnd.oci.image." + media, "digest": sum(b), "size": len(b)}
	}
	text := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var manifests []any
	for _, i := range images {
		var layers []any
		var diffs []string
		for n, l := range i.Layers {
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			_, err := z.Write(l)
			if err = errors.Join(err, z.Close()); err != nil {
				t.Fatal(err)
			}
			d := blob(packed.Bytes(), "layer.v1.tar+gzip")
			if i.Damage == n+1 {
				put("blobs/sha256/"+strings.TrimPrefix(d["digest"].(string), "sha256:"), append(packed.Bytes(), 0))
			}
			diff := sum(l)
			if i.Lie == n+1 {
				diff = sum(nil)
			}
			layers, diffs = append(layers, d), append(diffs, diff)
		}
		machine := i.Machine
		if machine == "" {
			machine = runtime.GOARCH
		}
		config := blob(text(map[string]any{
			"architecture": machine, "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
			"config": map[string]any{"Entrypoint": []string{"/bin/server"}, "Cmd": []string{"--fast"}, "Env": []string{"A=b"}, "WorkingDir": "/data"},
		}), "config.v1+json")
		d := blob(text(map[string]any{
			"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers,
		}), "manifest.v1+json")
		d["platform"] = map[string]any{"os": "linux", "architecture": machine}
		d["annotations"] = map[string]any{"org.opencontainers.image.ref.name": i.Name}
		manifests = append(manifests, d)
	}
	put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	put("index.json", text(map[string]any{"schemaVersion": 2, "manifests": manifests}))
	return dir
}
