package disk

import "time"

// MaxName is how long a name is at most.
const MaxName = 255

// bytesOfNode is how much of a disk's size there is for each file, so that the number of files has a bound as well.
const bytesOfNode = 1024

// alter begins an operation that changes names in a folder.
func (d *Disk) alter(folder ID) (*node, error) {
	f, err := d.folder(folder)
	if err != nil {
		return nil, err
	}
	return f, d.begin(Write, 0)
}

// Make makes a file, a folder, or a symbolic link with its target.
func (d *Disk) Make(folder ID, name string, a Attr, target string) (Info, error) {
	f, err := d.alter(folder)
	if err != nil {
		return Info{}, err
	}
	_, some := f.names[name]
	switch {
	case some:
		return Info{}, ErrExists
	case name == "" || len(name) > MaxName || len(target) > BlockSize:
		return Info{}, ErrInvalid
	case f.links == 0:
		return Info{}, ErrNone // somebody is in a folder that was removed
	case d.Full || int64(len(d.nodes)) > d.size*BlockSize/bytesOfNode:
		return Info{}, ErrFull
	}

	d.last++
	n := &node{state: state{Attr: a}, links: 1, held: 1}
	if a.isFolder() {
		n.names = map[string]ID{}
	}
	d.nodes[d.last] = n
	if target != "" {
		if _, err := d.store(n, []byte(target), 0); err != nil {
			delete(d.nodes, d.last)
			return Info{}, err
		}
	}
	d.set(f, name, d.last, a.Changed)
	return d.info(d.last, n), nil
}

// set gives a name in a folder to a node that is counted already.
func (d *Disk) set(f *node, name string, id ID, now time.Time) {
	f.names[name] = id
	f.Modified, f.Changed = now, now
}

// Link gives a file another name.
func (d *Disk) Link(id, folder ID, name string, now time.Time) (Info, error) {
	f, err := d.alter(folder)
	if err != nil {
		return Info{}, err
	}
	n, err := d.find(id)
	if err != nil {
		return Info{}, err
	}
	_, some := f.names[name]
	switch {
	case some:
		return Info{}, ErrExists
	case n.isFolder() || name == "" || len(name) > MaxName:
		return Info{}, ErrInvalid
	case n.links == 0 || f.links == 0:
		return Info{}, ErrNone
	}

	n.links++
	n.held++
	n.Changed = now
	d.set(f, name, id, now)
	return d.info(id, n), nil
}

// Remove takes a name away; what it means must be a folder, or must not be one.
func (d *Disk) Remove(folder ID, name string, isFolder bool, now time.Time) error {
	f, err := d.alter(folder)
	if err != nil {
		return err
	}
	id, some := f.names[name]
	if !some {
		return ErrNone
	}
	if err := d.removable(d.nodes[id], isFolder); err != nil {
		return err
	}
	d.unname(f, name, now)
	return nil
}

// removable says why a node cannot go.
func (d *Disk) removable(n *node, isFolder bool) error {
	switch {
	case n.isFolder() && !isFolder:
		return ErrFolder
	case !n.isFolder() && isFolder:
		return ErrNotFolder
	case len(n.names) > 0:
		return ErrNotEmpty
	}
	return nil
}

// unname takes a name away that there is.
func (d *Disk) unname(f *node, name string, now time.Time) {
	id := f.names[name]
	delete(f.names, name)
	f.Modified, f.Changed = now, now
	n := d.nodes[id]
	n.links--
	n.Changed = now
	d.release(id)
}

// Rename gives what has one name another one, in place of what has that, unless it is to be free.
func (d *Disk) Rename(from ID, name string, to ID, next string, free bool, now time.Time) error {
	f, err := d.alter(from)
	if err != nil {
		return err
	}
	t, err := d.folder(to)
	if err != nil {
		return err
	}
	id, some := f.names[name]
	switch {
	case !some || t.links == 0:
		return ErrNone
	case next == "" || len(next) > MaxName || d.within(id, to):
		return ErrInvalid
	}

	other, some := t.names[next]
	switch {
	case some && free:
		return ErrExists
	case some && other == id:
		return nil
	case some:
		if err := d.removable(d.nodes[other], d.nodes[id].isFolder()); err != nil {
			return err
		}
		d.unname(t, next, now)
	}
	delete(f.names, name)
	f.Modified, f.Changed = now, now
	d.nodes[id].Changed = now
	d.set(t, next, id, now)
	return nil
}

// within reports whether a folder is another one, or in it.
func (d *Disk) within(outer, folder ID) bool {
	if outer == folder {
		return true
	}
	for _, child := range d.nodes[outer].names {
		if d.nodes[child].isFolder() && d.within(child, folder) {
			return true
		}
	}
	return false
}

// Read reads bytes of a file, or the target of a symbolic link.
func (d *Disk) Read(id ID, to []byte, offset int64) (int, error) {
	n, err := d.find(id)
	switch {
	case err != nil:
		return 0, err
	case offset < 0:
		return 0, ErrInvalid
	}
	if err := d.begin(Read, len(to)); err != nil {
		return 0, err
	}
	return n.content.copyTo(to, offset), nil
}

// Write writes bytes to a file. There may be space for a part of them only, which is no error unless it is none.
func (d *Disk) Write(id ID, data []byte, offset int64, now time.Time) (int, error) {
	n, err := d.find(id)
	switch {
	case err != nil:
		return 0, err
	case offset < 0:
		return 0, ErrInvalid
	}
	if err := d.begin(Write, len(data)); err != nil {
		return 0, err
	}
	count, err := d.store(n, data, offset)
	if count > 0 {
		n.Modified, n.Changed = now, now
	}
	return count, err
}

// store writes bytes for as long as there is space.
func (d *Disk) store(n *node, data []byte, offset int64) (count int, err error) {
	for count < len(data) {
		at := offset + int64(count)
		number, begin := at/BlockSize, at%BlockSize
		switch {
		case number >= d.size:
			err = ErrTooLarge // no file is larger than its disk
		case n.content.has(number):
		case d.Full || d.used == d.size:
			err = ErrFull
		default:
			d.used++
		}
		if err != nil {
			break
		}

		piece := data[count:min(len(data), count+int(BlockSize-begin))]
		copy(n.content.own(number).bytes[begin:], piece)
		count += len(piece)
		n.content.size = max(n.content.size, at+int64(len(piece)))
	}
	if count > 0 {
		return count, nil
	}
	return 0, err
}

// SetAttr sets what is known about a node; its kind stays. A size other than -1 cuts the file, or makes it longer.
func (d *Disk) SetAttr(id ID, size int64, set func(*Attr)) (Info, error) {
	n, err := d.find(id)
	if err != nil {
		return Info{}, err
	}
	if err := d.begin(Write, 0); err != nil {
		return Info{}, err
	}
	switch {
	case size < 0:
	case n.isFolder():
		return Info{}, ErrFolder
	case blocksOf(size) > d.size:
		return Info{}, ErrTooLarge
	default:
		d.used -= n.content.used()
		n.content.resize(size)
		d.used += n.content.used()
	}
	kind := n.Mode & kindMask
	set(&n.Attr)
	n.Mode = kind | n.Mode&^uint32(kindMask)
	return d.info(id, n), nil
}
