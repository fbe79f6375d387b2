package index

import "strings"

// maxDirectories is how many directories the newest deletion is known of, about 10 MB.
const maxDirectories = 100_000

// directory knows when a key was deleted in it or below, as of the slashes in keys.
type directory struct {
	newest   int64 // of the deletions in it and below
	own      int64 // of those of keys that lie in it
	folded   int64 // of those somewhere below that are not known more exactly
	children map[string]*directory
	known    int // directories below, in the root only
}

// add notes that a key was deleted.
func (d *directory) add(key string, revision int64) {
	at := d
	for {
		at.newest = max(at.newest, revision)
		name, rest, deeper := strings.Cut(key, "/")
		if !deeper {
			at.own = max(at.own, revision)
			return
		}
		next := at.children[name]
		if next == nil {
			next = &directory{}
			if at.children == nil {
				at.children = map[string]*directory{}
			}
			at.children[name] = next
			d.known++
		}
		at, key = next, rest
	}
}

// newestBelow returns when a key that begins with prefix was deleted last, 0 if none was. It may be too high: of the
// directory in which the prefix ends, it takes every key that was deleted.
func (d *directory) newestBelow(prefix string) int64 {
	at, newest := d, int64(0)
	for {
		name, rest, deeper := strings.Cut(prefix, "/")
		newest = max(newest, at.folded)
		switch {
		case !deeper && name == "":
			return max(newest, at.newest)
		case !deeper:
			newest = max(newest, at.own)
			for child, c := range at.children {
				if strings.HasPrefix(child, name) {
					newest = max(newest, c.newest)
				}
			}
			return newest
		}
		at, prefix = at.children[name], rest
		if at == nil {
			return newest
		}
	}
}

// bound folds the oldest deletions into the directories above until half of the limit is left.
func (d *directory) bound(limit int) {
	if d.known <= limit {
		return
	}
	old := int64(0)
	for d.known > limit/2 {
		old = max((old+d.newest+1)/2, old+1)
		d.known -= d.fold(old)
	}
}

// fold folds what was deleted last at a revision or before, and returns how many directories are gone.
func (d *directory) fold(old int64) int {
	gone := 0
	for name, c := range d.children {
		if c.newest > old {
			gone += c.fold(old)
			continue
		}
		d.folded = max(d.folded, c.newest)
		gone += 1 + c.size()
		delete(d.children, name)
	}
	return gone
}

// size returns how many directories there are below.
func (d *directory) size() int {
	n := len(d.children)
	for _, c := range d.children {
		n += c.size()
	}
	return n
}
