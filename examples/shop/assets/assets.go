// Package assets keeps the files that belong to the shop's pages: pictures and the style.
package assets

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"sync"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/assets/gallery"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// ErrUnknown is in the error of a request for a file that there is not.
var ErrUnknown = errors.New("no such file")

// Assets keeps files.
type Assets interface {
	// Get returns a file by its name. If its tag is etag, it is returned without its data.
	Get(ctx context.Context, name, etag string) (File, error)
}

// File is a file with what HTTP says about it.
type File struct {
	Type   string // content type
	ETag   string // with its quotes; derived from the data, so that all replicas agree
	Data   []byte
	Served trail.Trail
}

//go:embed style.css
var style []byte

type assets struct {
	divisi.Implements[Assets]
	files map[string]func() (File, error)
}

// Init lists the files. Pictures are drawn when they are first asked for.
func (a *assets) Init(context.Context) error {
	a.files = map[string]func() (File, error){
		"style.css": sync.OnceValues(func() (File, error) {
			return file("text/css; charset=utf-8", style), nil
		}),
	}
	for _, name := range gallery.Names() {
		a.files[name+".svg"] = sync.OnceValues(func() (File, error) {
			return file("image/svg+xml", gallery.Draw(name).SVG()), nil
		})
		a.files[name+".png"] = sync.OnceValues(func() (File, error) {
			data, err := gallery.Draw(name).PNG()
			if err != nil {
				return File{}, fmt.Errorf("cannot draw %s: %w", name, err)
			}
			return file("image/png", data), nil
		})
	}
	return nil
}

func file(kind string, data []byte) File {
	sum := sha256.Sum256(data)
	return File{Type: kind, ETag: fmt.Sprintf(`"%x"`, sum[:12]), Data: data}
}

func (a *assets) Get(_ context.Context, name, etag string) (File, error) {
	load, ok := a.files[name]
	if !ok {
		return File{}, fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	f, err := load()
	if err != nil {
		return File{}, err
	}
	if f.ETag == etag {
		f.Data = nil
	}
	f.Served = trail.Of(a.Self())
	return f, nil
}
