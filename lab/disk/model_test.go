package disk

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// file is a file or folder of the model: whole copies and pointers, and nothing is counted.
type file struct {
	folder, synced bool
	data, safeData []byte
	names, safe    map[string]*file
}

func newFile(folder bool) *file {
	f := &file{folder: folder}
	if folder {
		f.names = map[string]*file{}
	}
	return f
}

func (f *file) sync() {
	f.synced, f.safeData, f.safe = true, bytes.Clone(f.data), maps.Clone(f.names)
}

// cut is a power cut.
func (f *file) cut(forget bool, seen map[*file]bool) {
	seen[f] = true
	if forget {
		f.data, f.names = bytes.Clone(f.safeData), maps.Clone(f.safe)
		if f.folder && f.names == nil {
			f.names = map[string]*file{}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		child := f.names[name]
		switch {
		case !seen[child]:
			child.cut(forget, seen)
		case child.folder:
			delete(f.names, name)
		}
	}
	f.sync()
}

// folders returns the paths of a folder and of all that are in it.
func (f *file) folders(path string) (list []string) {
	list = append(list, path)
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		if f.names[name].folder {
			list = append(list, f.names[name].folders(path+name)...)
		}
	}
	return list
}

// at returns what is at a path, whose names have one letter each.
func (f *file) at(path string) *file {
	for _, name := range path {
		f = f.names[string(name)]
	}
	return f
}

// show is what a model has, as text.
func (f *file) show(path string) string {
	text := fmt.Sprintf("%s folder=%v %x\n", path, f.folder, f.data)
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		text += f.names[name].show(path + name)
	}
	return text
}

// show is the same of a disk. It also holds and drops everything.
func show(t *testing.T, d *Disk, id ID, path string) string {
	t.Helper()
	i, err := d.Stat(id)
	if err != nil {
		t.Fatalf("%q: %v", path, err)
	}
	if !i.isFolder() {
		data := make([]byte, i.Size)
		if n, err := d.Read(id, data, 0); err != nil || int64(n) != i.Size {
			t.Fatalf("%q: %d of %d bytes, %v", path, n, i.Size, err)
		}
		return fmt.Sprintf("%s folder=false %x\n", path, data)
	}
	text := fmt.Sprintf("%s folder=true \n", path)
	entries, err := d.List(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text += show(t, d, e.ID, path+e.Name)
	}
	return text
}

// place returns the number of what is at a path.
func place(t *testing.T, d *Disk, path string) ID {
	t.Helper()
	id := Root
	for _, name := range path {
		i, err := d.Lookup(id, string(name))
		if err != nil {
			t.Fatal(err)
		}
		d.Drop(i.ID, 1)
		id = i.ID
	}
	return id
}

// check checks what a disk says of itself.
func check(t *testing.T, d *Disk) {
	t.Helper()
	var used int64
	links, safe := map[ID]int{Root: 1}, map[ID]int{Root: 1}
	for _, n := range d.nodes {
		used += n.content.used()
		for _, child := range n.names {
			links[child]++
		}
		for _, child := range n.safe.names {
			safe[child]++
		}
	}
	if used != d.used {
		t.Fatalf("%d blocks are used, and %d counted", used, d.used)
	}
	for id, n := range d.nodes {
		if n.links != links[id] || n.safeLinks != safe[id] {
			t.Fatalf("%d has %d names, of which %d are counted, and %d safe ones, of which %d are", id, links[id], n.links, safe[id], n.safeLinks)
		}
		if n.links == 0 && n.safeLinks == 0 && n.held == 0 {
			t.Fatalf("%d is still there", id)
		}
	}
}

// TestModel: whatever is done, a disk has what a simple model has, before and after power cuts.
func TestModel(t *testing.T) {
	for seed := range uint64(20) {
		d, root := New(1<<20, now), newFile(true)
		root.sync()
		random := rand.New(rand.NewPCG(seed, 1))
		for range 150 {
			step(t, d, root, random)
			check(t, d)
			if got, want := show(t, d, Root, ""), root.show(""); got != want {
				t.Fatalf("seed %d:\n%s\nwant\n%s", seed, got, want)
			}
		}
	}
}

// step does one thing with both.
func step(t *testing.T, d *Disk, root *file, random *rand.Rand) {
	t.Helper()
	folders := root.folders("")
	path := folders[random.IntN(len(folders))]
	name := string("abc"[random.IntN(3)])
	in, id := root.at(path), place(t, d, path)
	there := in.names[name]

	switch op := random.IntN(14); {
	case op < 4 && there == nil && len(path) < 4: // make
		folder := op == 0
		mode := uint32(0o100644)
		if folder {
			mode = kindFolder | 0o755
		}
		i, err := d.Make(id, name, Attr{Mode: mode}, "")
		must(t, err)
		in.names[name] = newFile(folder)
		d.Drop(i.ID, 1)
	case op < 6 && there != nil && !there.folder: // write
		data := bytes.Repeat([]byte{byte(random.IntN(255) + 1)}, 1+random.IntN(3*BlockSize/2))
		offset := random.IntN(2 * BlockSize)
		n, err := d.Write(place(t, d, path+name), data, int64(offset), now)
		if err != nil || n != len(data) {
			t.Fatal(n, err)
		}
		there.data = append(there.data, make([]byte, max(0, offset+n-len(there.data)))...)
		copy(there.data[offset:], data)
	case op == 6 && there != nil && !there.folder: // resize
		size := random.IntN(3 * BlockSize)
		_, err := d.SetAttr(place(t, d, path+name), int64(size), func(*Attr) {})
		must(t, err)
		there.data = append(there.data, make([]byte, max(0, size-len(there.data)))...)[:size]
	case op == 7 && there != nil: // remove
		err := d.Remove(id, name, there.folder, now)
		if refused := len(there.names) > 0; refused != (err != nil) {
			t.Fatal(err)
		} else if !refused {
			delete(in.names, name)
		}
	case op == 8 && there != nil: // rename
		rename(t, d, root, path, name, folders[random.IntN(len(folders))], string("abc"[random.IntN(3)]))
	case op == 9 && there != nil && !there.folder: // link
		next := string("abc"[random.IntN(3)])
		i, err := d.Link(place(t, d, path+name), id, next, now)
		if in.names[next] != nil {
			if err != ErrExists {
				t.Fatal(err)
			}
			return
		}
		must(t, err)
		d.Drop(i.ID, 1)
		in.names[next] = there
	case op < 12: // fsync
		must(t, d.Fsync(id))
		in.sync()
		if there != nil && random.IntN(2) == 0 {
			must(t, d.Fsync(place(t, d, path+name)))
			there.sync()
		}
	case op == 12 && random.IntN(2) == 0:
		d.Change(Change{Forget: new(random.IntN(4) > 0)})
		d.PowerCut()
		root.cut(d.Forget, map[*file]bool{})
	}
}

// rename renames in both.
func rename(t *testing.T, d *Disk, root *file, from, name, to, next string) {
	t.Helper()
	err := d.Rename(place(t, d, from), name, place(t, d, to), next, false, now)
	moved, other := root.at(from).names[name], root.at(to).names[next]
	isInside := moved.folder && len(to) >= len(from+name) && to[:len(from+name)] == from+name
	refused := isInside || other != nil && other != moved && (other.folder != moved.folder || len(other.names) > 0)
	if refused != (err != nil) {
		t.Fatalf("rename %s%s to %s%s: %v", from, name, to, next, err)
	}
	if !refused && other != moved {
		target := root.at(to)
		delete(root.at(from).names, name)
		target.names[next] = moved
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
