package httpd

import (
	"container/list"
	"io/fs"
	"sync"
	"time"
)

// cache keeps what is in small files, those that were asked for last. It never answers for a file that has
// changed: whoever asks says what the file is now.
//
//   - bytes is the sum of the sizes of all that is kept, and at most max.
//   - byName and recent have the same elements; the one that was asked for last is at the front of recent.
type cache struct {
	max int64

	mu     sync.Mutex // guards what follows
	bytes  int64
	byName map[string]*list.Element // of *keptFile
	recent list.List
}

// keptFile is a file that is kept.
type keptFile struct {
	name    string
	changed time.Time
	data    []byte
}

// overhead is what a file takes besides its content, about.
const overhead = 256

func (k *keptFile) cost() int64 { return int64(len(k.data)+len(k.name)) + overhead }

func newCache(max int64) *cache { return &cache{max: max, byName: map[string]*list.Element{}} }

// get returns what is in a file, if that is kept and the file is as it was; else nil.
func (c *cache) get(name string, now fs.FileInfo) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byName[name]
	if e == nil {
		return nil
	}
	k := e.Value.(*keptFile)
	if !k.changed.Equal(now.ModTime()) || int64(len(k.data)) != now.Size() {
		c.drop(e)
		return nil
	}
	c.recent.MoveToFront(e)
	return k.data
}

// settled is how long ago a file must have changed to be kept: one that changes twice within a tick of the file
// system's clock, to the same size, looks as if it had not changed.
const settled = 2 * time.Second

// put keeps what is in a file.
func (c *cache) put(name string, info fs.FileInfo, data []byte, now time.Time) {
	k := &keptFile{name: name, changed: info.ModTime(), data: data}
	if k.cost() > c.max || now.Sub(k.changed) < settled || int64(len(data)) != info.Size() || data == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byName[name]; e != nil {
		c.drop(e)
	}
	c.byName[name] = c.recent.PushFront(k)
	c.bytes += k.cost()
	for c.bytes > c.max {
		c.drop(c.recent.Back())
	}
}

// drop keeps a file no longer.
func (c *cache) drop(e *list.Element) {
	k := c.recent.Remove(e).(*keptFile)
	delete(c.byName, k.name)
	c.bytes -= k.cost()
}

// size returns how many files are kept, and what they take.
func (c *cache) size() (files int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byName), c.bytes
}
