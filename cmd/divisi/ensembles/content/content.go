// Package content has what was pushed for ensembles: it brings programs and files into the state folder, by their content,
// and knows where they are.
package content

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/artifact/manifest"
	"github.com/divisi-go/divisi/internal/artifact/parcel"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/program"
)

// Kept is content in the state folder. It stays until it is released, or as long as a revision has it.
type Kept struct {
	*artifact.Tree
	Sent int64 // bytes that were not there before
}

// Keep brings what is in a file, or a folder, into the state folder, and returns it when every file of it was compared with its
// sum. What is there of it is not sent, also not what an earlier call has left that was interrupted.
func Keep(ctx context.Context, c *console.Console, h home.Home, key, file string) (*Kept, error) {
	store := program.Store(h)
	to := &meter{Depot: store}
	progress := c.ProgressOf(func() string { return "pushing " + file + to.String() })
	defer progress.End()
	kind, of, _ := strings.Cut(key, ".")
	describe := parcel.Tree
	if kind == ensemble.Executable {
		describe = parcel.Program
	}
	p, err := describe(cmp.Or(of, kind), file, manifest.MaxSize)
	if err != nil {
		return nil, err
	}
	if err := h.Make(); err != nil {
		return nil, err
	}

	to.all.Store(p.Manifest.Size())
	sum, err := artifact.Send(ctx, p, to)
	if err != nil {
		return nil, fmt.Errorf("cannot push %s: %w", file, err)
	}
	tree, err := store.Open(sum)
	return &Kept{tree, to.sent.Load()}, err
}

// Brief returns as much of a sum as people compare.
func Brief(sum string) string { return sum[:min(len(sum), 12)] }

// meter counts what is brought to a depot.
type meter struct {
	artifact.Depot
	all  atomic.Int64 // bytes of the artifact, 0 while that is not known
	sent atomic.Int64
}

// Put implements [artifact.Depot].
func (m *meter) Put(ctx context.Context, sum, content string, offset int64, r io.Reader) error {
	return m.Depot.Put(ctx, sum, content, offset, io.TeeReader(r, m))
}

// Write counts bytes.
func (m *meter) Write(p []byte) (int, error) {
	m.sent.Add(int64(len(p)))
	return len(p), nil
}

// String says how much was sent.
func (m *meter) String() string {
	const mega = 1e6
	all := m.all.Load()
	if all == 0 {
		return "" // it is being read
	}
	return fmt.Sprintf(": %.1f of %.1f MB", float64(m.sent.Load())/mega, float64(all)/mega)
}

// Here says which content is not here.
func Here(store *artifact.Store, content ensemble.Content) error {
	for _, key := range slices.Sorted(maps.Keys(content)) {
		sum := content[key]
		if sum == "" {
			return Missed(key)
		}
		if _, err := store.Folder(sum); err != nil {
			return fmt.Errorf("{%s}: %w (divisi push brings it again)", key, err)
		}
	}
	return nil
}

// Paths returns what puts the paths of content into the place of what a document calls it.
func Paths(store *artifact.Store, content ensemble.Content) *strings.Replacer {
	var paths []string
	for key, sum := range content {
		path := filepath.Join(store.Path(sum), parcel.Folder)
		if kind, of, _ := strings.Cut(key, "."); kind == ensemble.Executable {
			path = filepath.Join(path, of)
		}
		paths = append(paths, "{"+key+"}", path)
	}
	return strings.NewReplacer(paths...)
}

// Missed is the error of content that a server uses, and that was not pushed.
func Missed(key string) error {
	kind, of, _ := strings.Cut(key, ".")
	return console.Failure(strings.TrimSpace("divisi push "+kind+" FILE "+of)+" brings it", "{%s} was not pushed", key)
}
