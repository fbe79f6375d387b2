// Package oci unpacks images of an OCI image layout, which is a folder on disk, for sandboxes of package system:
//
//	image, err := oci.Unpack("./layout", "", "/var/lib/images")
//	...
//	root, err := h.Dir(image.Root)
//	...
//	box, err := h.Sandbox(ctx, n, system.Sandbox{Name: "box", Root: root})
//
// Nothing is asked for over a network. What an image has is compared with the sums that it is called by, before any of it
// can be used.
package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Image is an image that was unpacked.
type Image struct {
	Root   string   // folder of its files
	Digest string   // of its manifest, as sha256:...
	Args   []string // entry point and command
	Env    []string
	Dir    string // where its program runs; "" for the root
}

// Errors of images that are not unpacked.
var (
	ErrDamaged = errors.New("its content is not that of its sum")
	ErrOutside = errors.New("it leads out of the image")
	ErrDevice  = errors.New("it is a device or a pipe, which no sandbox gets from an image")
	ErrTooMuch = errors.New("it is more than an image may have")
	ErrNoImage = errors.New("there is no such image in the layout")
)

// Bounds of an image.
type bounds struct {
	files, layers, depth int
	bytes                int64 // of all files
	text                 int64 // of a manifest or a configuration
}

var most = bounds{files: 100_000, layers: 128, depth: 4, bytes: 16 << 30, text: 4 << 20}

// refName is the annotation that has the name of an image in a layout.
const refName = "org.opencontainers.image.ref.name"

// Unpack unpacks the image of a layout that has a name (its annotation org.opencontainers.image.ref.name), or the only one
// for "", and is for this system, into a folder below another one, whose name is the sum of the image. One that is there
// already is left as it is. Owners, times, extended attributes and setuid bits are not kept. It has up to 100,000 files and
// 16 GiB. When Unpack fails it has left nothing.
func Unpack(dir, name, folder string) (*Image, error) {
	image, err := unpack(dir, name, folder)
	if err != nil {
		return nil, fmt.Errorf("cannot unpack the image %q of %s: %w", name, dir, err)
	}
	return image, nil
}

func unpack(dir, name, folder string) (*Image, error) {
	if err := small(filepath.Join(dir, "index.json")); err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	found, digest, err := find(index, name, 0)
	if err != nil {
		return nil, err
	}
	manifest, config, err := describe(found, digest)
	if err != nil {
		return nil, err
	}
	image := &Image{
		Root: filepath.Join(folder, "sha256-"+digest.Hex), Digest: digest.String(),
		Args: append(config.Config.Entrypoint, config.Config.Cmd...), Env: config.Config.Env, Dir: config.Config.WorkingDir,
	}
	if _, err := os.Stat(image.Root); err == nil {
		return image, nil
	}

	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	arriving, err := os.MkdirTemp(folder, "arriving-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(arriving)
	if err := fill(arriving, found, manifest, config); err != nil {
		return nil, err
	}
	err = errors.Join(os.Chmod(arriving, 0o755), os.Rename(arriving, image.Root))
	if _, there := os.Stat(image.Root); there == nil {
		return image, nil // by this one, or by another one at the same time
	}
	return nil, err
}

// small says whether a text of a layout is too long to be read.
func small(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Size() > most.text {
		err = fmt.Errorf("%s has %d bytes: %w", path, info.Size(), ErrTooMuch)
	}
	return err
}

// find returns the image of an index that has a name, and is for this system.
func find(index v1.ImageIndex, name string, depth int) (v1.Image, v1.Hash, error) {
	none := fmt.Errorf("%w for linux/%s", ErrNoImage, runtime.GOARCH)
	if depth > most.depth {
		return nil, v1.Hash{}, fmt.Errorf("an index in an index in an index: %w", ErrTooMuch)
	}
	list, err := index.IndexManifest()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	for _, d := range list.Manifests {
		if name != "" && d.Annotations[refName] != name || !fits(d.Platform) {
			continue
		}
		if d.Size > most.text {
			return nil, v1.Hash{}, fmt.Errorf("the manifest %v has %d bytes: %w", d.Digest, d.Size, ErrTooMuch)
		}
		switch {
		case d.MediaType.IsImage():
			image, err := index.Image(d.Digest)
			return image, d.Digest, err
		case d.MediaType.IsIndex():
			inner, err := index.ImageIndex(d.Digest)
			if err == nil {
				err = same(d.Digest, inner.RawManifest)
			}
			if err != nil {
				return nil, v1.Hash{}, err
			}
			return find(inner, "", depth+1)
		}
	}
	return nil, v1.Hash{}, none
}

func fits(p *v1.Platform) bool {
	return p == nil || p.OS == "linux" && p.Architecture == runtime.GOARCH
}

// same says whether a text is not that of a sum.
func same(want v1.Hash, text func() ([]byte, error)) error {
	raw, err := text()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	if got := hex.EncodeToString(sum[:]); want.Algorithm != "sha256" || got != want.Hex {
		return fmt.Errorf("%v: %w, but that of sha256:%s", want, ErrDamaged, got)
	}
	return nil
}

// describe returns what an image says of itself.
func describe(image v1.Image, digest v1.Hash) (*v1.Manifest, *v1.ConfigFile, error) {
	if err := same(digest, image.RawManifest); err != nil {
		return nil, nil, err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return nil, nil, err
	}
	if manifest.Config.Size > most.text || len(manifest.Layers) > most.layers {
		return nil, nil, fmt.Errorf("%d layers, and a configuration of %d bytes: %w", len(manifest.Layers), manifest.Config.Size, ErrTooMuch)
	}
	if err := same(manifest.Config.Digest, image.RawConfigFile); err != nil {
		return nil, nil, err
	}
	config, err := image.ConfigFile()
	if err == nil && len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		err = fmt.Errorf("%d layers have %d sums: %w", len(manifest.Layers), len(config.RootFS.DiffIDs), ErrDamaged)
	}
	return manifest, config, err
}

// fill writes all layers of an image into a folder.
func fill(folder string, image v1.Image, manifest *v1.Manifest, config *v1.ConfigFile) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	t := &tree{root: root}
	for i, d := range manifest.Layers {
		if err := t.apply(image, d.Digest, config.RootFS.DiffIDs[i]); err != nil {
			return fmt.Errorf("layer %d (%v): %w", i+1, d.Digest, err)
		}
	}
	return nil
}

// apply applies a layer, whose content as it is sent and as it is unpacked has two sums.
func (t *tree) apply(image v1.Image, digest, diff v1.Hash) error {
	layer, err := image.LayerByDigest(digest)
	if err != nil {
		return err
	}
	packed, err := layer.Compressed()
	if err != nil {
		return err
	}
	sent := sha256.New()
	_, err = io.Copy(sent, packed)
	if err = errors.Join(err, packed.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sent.Sum(nil)); digest.Algorithm != "sha256" || got != digest.Hex {
		return fmt.Errorf("%w, but that of sha256:%s", ErrDamaged, got)
	}

	content, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer content.Close()
	sum := sha256.New()
	text := io.TeeReader(&bounded{content, most.bytes + int64(most.files)*(8<<10)}, sum)
	if err := t.layer(text); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, text); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != diff.Hex {
		return fmt.Errorf("%w, but that of sha256:%s", ErrDamaged, got)
	}
	return nil
}

// bounded reads no more than so much.
type bounded struct {
	io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, ErrTooMuch
	}
	return n, err
}

// outside says of an error of [os.Root] that it is about a way out.
func outside(err error) error {
	if err != nil && !errors.Is(err, fs.ErrNotExist) && strings.Contains(err.Error(), "escapes") {
		return fmt.Errorf("%w: %w", ErrOutside, err)
	}
	return err
}
