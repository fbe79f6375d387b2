// Package disk decides what a disk of a lab keeps: which files there are, which of them a power cut leaves, which
// operation fails, and when there is no more space. It does nothing itself: it has no clock, no goroutine and no files.
package disk

import (
	"maps"
	"slices"
	"time"
)

// Error is why an operation fails, for programs and people.
type Error string

func (e Error) Error() string { return string(e) }

// The errors of a disk.
const (
	ErrFailed    Error = "input/output error"
	ErrFull      Error = "no space left on device"
	ErrNone      Error = "no such file or directory"
	ErrExists    Error = "file exists"
	ErrNotFolder Error = "not a directory"
	ErrFolder    Error = "is a directory"
	ErrNotEmpty  Error = "directory not empty"
	ErrInvalid   Error = "invalid argument"
	ErrTooLarge  Error = "file too large"
)

// ID is the number of a file or folder.
type ID uint64

// Root is the number of the folder that everything is in.
const Root ID = 1

// The kinds of files in [Attr.Mode].
const (
	kindMask   = 0o170000
	kindFolder = 0o040000
)

// Attr is what a disk knows about a file beside its bytes.
type Attr struct {
	Mode               uint32 // the kind and the permissions, as Unix has them
	UID, GID           uint32
	Accessed, Modified time.Time
	Changed            time.Time
}

func (a Attr) isFolder() bool { return a.Mode&kindMask == kindFolder }

// Info is what there is to say about a file.
type Info struct {
	Attr
	ID     ID
	Size   int64
	Blocks int64
	Links  int
}

// state is a file or folder at one time.
type state struct {
	Attr
	content content       // of a file, or the target of a symbolic link
	names   map[string]ID // of a folder
}

// node is a file or folder: what it is now, and what a power cut leaves of it.
type node struct {
	state
	safe   state
	synced bool // else a power cut leaves nothing of it but its name, if that is safe

	links     int    // how many names it has now
	safeLinks int    // how many a power cut leaves
	held      uint64 // how often the host has taken it
}

// Disk is a file system in memory, of a size. Its invariants:
//
//   - what was synced, by [Disk.Fsync], is what a power cut leaves at least: a file's bytes by the file, a name by its
//     folder;
//   - what a forgetful disk has after a power cut is that and nothing more;
//   - blocks that files need now are never more than the size, and the disk has two times its size in memory at most;
//   - a node is there for as long as something names it, now or after a power cut, or the host holds it.
//
// The host holds a node once more whenever the disk returns an [Info] of it by a name, until [Disk.Drop].
type Disk struct {
	Condition
	Count
	size  int64 // in blocks
	used  int64 // by what files are now
	nodes map[ID]*node
	last  ID
}

// New returns an empty disk of a size in bytes.
func New(size int64, now time.Time) *Disk {
	root := state{Attr: Attr{Mode: kindFolder | 0o755, Accessed: now, Modified: now, Changed: now}, names: map[string]ID{}}
	d := &Disk{size: size / BlockSize, nodes: map[ID]*node{}, last: Root}
	d.nodes[Root] = &node{state: root, links: 1, safeLinks: 1}
	d.sync(d.nodes[Root])
	return d
}

// Change changes how well the disk works. The change must be one that can be.
func (d *Disk) Change(c Change) { d.Condition = c.apply(d.Condition) }

// Space returns how many blocks there are, and how many of them are free.
func (d *Disk) Space() (blocks, free int64) {
	if d.Full {
		return d.size, 0
	}
	return d.size, d.size - d.used
}

// begin counts an operation, and says whether it fails.
func (d *Disk) begin(what Operation, bytes int) error {
	d.add(what)
	if d.fails(what, bytes) {
		d.Failed++
		return ErrFailed
	}
	return nil
}

// find returns a node.
func (d *Disk) find(id ID) (*node, error) {
	n := d.nodes[id]
	if n == nil {
		return nil, ErrNone
	}
	return n, nil
}

// folder returns a folder.
func (d *Disk) folder(id ID) (*node, error) {
	n, err := d.find(id)
	if err == nil && !n.isFolder() {
		err = ErrNotFolder
	}
	return n, err
}

func (d *Disk) info(id ID, n *node) Info {
	i := Info{Attr: n.Attr, ID: id, Size: n.content.size, Blocks: n.content.used(), Links: n.links}
	if n.isFolder() {
		i.Links = 2
	}
	return i
}

// Stat tells about a node.
func (d *Disk) Stat(id ID) (Info, error) {
	n, err := d.find(id)
	if err != nil {
		return Info{}, err
	}
	return d.info(id, n), nil
}

// Lookup tells what has a name in a folder.
func (d *Disk) Lookup(folder ID, name string) (Info, error) {
	f, err := d.folder(folder)
	if err != nil {
		return Info{}, err
	}
	id, some := f.names[name]
	if !some {
		return Info{}, ErrNone
	}
	n := d.nodes[id]
	n.held++
	return d.info(id, n), nil
}

// Drop says that the host holds a node less often.
func (d *Disk) Drop(id ID, times uint64) {
	if n := d.nodes[id]; n != nil {
		n.held -= min(n.held, times)
		d.release(id)
	}
}

// release forgets what nothing needs any more.
func (d *Disk) release(id ID) {
	n := d.nodes[id]
	if id == Root || n.links > 0 || n.held > 0 {
		return
	}
	d.used -= n.content.used()
	n.content = content{}
	if n.safeLinks > 0 {
		return
	}
	delete(d.nodes, id)
	for _, child := range n.safe.names {
		d.nodes[child].safeLinks--
		d.release(child)
	}
}

// Entry is a name in a folder.
type Entry struct {
	Name string
	ID   ID
	Mode uint32
}

// List returns what is in a folder, sorted.
func (d *Disk) List(folder ID) ([]Entry, error) {
	f, err := d.folder(folder)
	if err != nil {
		return nil, err
	}
	if err := d.begin(Read, 0); err != nil {
		return nil, err
	}
	var list []Entry
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		id := f.names[name]
		list = append(list, Entry{name, id, d.nodes[id].Mode})
	}
	return list, nil
}

// Fsync makes a file's bytes, or a folder's names, what a power cut leaves.
func (d *Disk) Fsync(id ID) error {
	n, err := d.find(id)
	if err != nil {
		return err
	}
	if err := d.begin(Fsync, 0); err != nil {
		return err
	}
	d.sync(n)
	return nil
}

func (d *Disk) sync(n *node) {
	before := n.safe.names
	n.safe = state{n.Attr, n.content.share(), maps.Clone(n.names)}
	n.synced = true
	for _, child := range n.safe.names {
		d.nodes[child].safeLinks++
	}
	for _, child := range before {
		d.nodes[child].safeLinks--
		d.release(child)
	}
}

// PowerCut takes what was not synced, if the disk is forgetful, and everything that has no name. The host holds nothing
// any more. What there is now is safe.
func (d *Disk) PowerCut() {
	left := &Disk{Condition: d.Condition, Count: d.Count, size: d.size, nodes: map[ID]*node{}, last: d.last}
	d.leave(Root, left)
	*d = *left
}

// leave gives another disk what a power cut leaves of a node, and of all that is in it. A folder that was moved is in two
// places if only the new one was synced: it is left in the first of them.
func (d *Disk) leave(id ID, left *Disk) {
	n := d.nodes[id]
	kept := n.state
	switch {
	case d.Forget && n.synced:
		kept = n.safe
	case d.Forget && n.isFolder():
		kept = state{Attr: n.Attr, names: map[string]ID{}}
	case d.Forget:
		kept = state{Attr: n.Attr}
	}
	now := &node{state: kept, synced: true, links: 1, safeLinks: 1}
	left.nodes[id] = now
	left.used += kept.content.used()
	for _, name := range slices.Sorted(maps.Keys(kept.names)) {
		child := kept.names[name]
		switch there := left.nodes[child]; {
		case there == nil:
			d.leave(child, left)
		case there.isFolder():
			delete(now.names, name)
		default:
			there.links++
			there.safeLinks++
		}
	}
	now.safe = state{kept.Attr, now.content.share(), maps.Clone(kept.names)}
}
