package disk

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"
)

// plain makes a file that the host does not hold.
func plain(t *testing.T, d *Disk, name string) ID {
	t.Helper()
	i, err := d.Make(Root, name, Attr{Mode: 0o100644}, "")
	must(t, err)
	d.Drop(i.ID, 1)
	return i.ID
}

// write writes at the end of a file, which has to succeed.
func write(t *testing.T, d *Disk, id ID, text string) {
	t.Helper()
	i, err := d.Stat(id)
	must(t, err)
	n, err := d.Write(id, []byte(text), i.Size, now)
	if err != nil || n != len(text) {
		t.Fatalf("%d of %d bytes, %v", n, len(text), err)
	}
}

// text is what a file has, "none" if there is none of the name.
func text(t *testing.T, d *Disk, name string) string {
	t.Helper()
	i, err := d.Lookup(Root, name)
	if err == ErrNone {
		return "none"
	}
	must(t, err)
	d.Drop(i.ID, 1)
	data := make([]byte, 100)
	n, err := d.Read(i.ID, data, 0)
	must(t, err)
	return string(data[:n])
}

// TestForget: a power cut takes bytes that were not synced, and names that were not.
func TestForget(t *testing.T) {
	d := New(1<<20, now)
	d.Change(Forget())
	whole, half, nameless, empty := plain(t, d, "whole"), plain(t, d, "half"), plain(t, d, "nameless"), plain(t, d, "empty")
	must(t, d.Remove(Root, "nameless", false, now))
	write(t, d, whole, "1")
	write(t, d, half, "1")
	must(t, d.Fsync(whole))
	must(t, d.Fsync(half))
	must(t, d.Fsync(Root))
	write(t, d, half, "2")
	write(t, d, empty, "1")
	late := plain(t, d, "late")
	must(t, d.Fsync(late))
	must(t, d.Rename(Root, "whole", Root, "renamed", false, now))

	d.PowerCut()
	for name, want := range map[string]string{"whole": "1", "half": "1", "empty": "", "late": "none", "renamed": "none"} {
		if got := text(t, d, name); got != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
	if _, err := d.Stat(nameless); err != ErrNone {
		t.Errorf("what has no name: %v", err)
	}
	check(t, d)
}

// TestRemember: a power cut takes nothing from a disk that is not forgetful, and what there is is safe then.
func TestRemember(t *testing.T) {
	d := New(1<<20, now)
	write(t, d, plain(t, d, "a"), "1")
	d.PowerCut()
	d.Change(Forget())
	d.PowerCut()
	if got := text(t, d, "a"); got != "1" {
		t.Errorf("the file has %q", got)
	}
}

// TestOpen: a file without names is there for as long as the host holds it.
func TestOpen(t *testing.T) {
	d := New(1<<20, now)
	i, err := d.Make(Root, "a", Attr{Mode: 0o100644}, "")
	must(t, err)
	must(t, d.Remove(Root, "a", false, now))
	write(t, d, i.ID, "still there")
	if _, free := d.Space(); free != 1<<20/BlockSize-1 {
		t.Errorf("%d blocks are free", free)
	}
	d.Drop(i.ID, 1)
	if _, err := d.Stat(i.ID); err != ErrNone {
		t.Errorf("%v", err)
	}
	if _, free := d.Space(); free != 1<<20/BlockSize {
		t.Errorf("%d blocks are free", free)
	}
}

// TestFull: what needs space fails, and what needs none does not.
func TestFull(t *testing.T) {
	d := New(64<<10, now)
	id := plain(t, d, "a")
	n, err := d.Write(id, make([]byte, 60<<10), 0, now)
	if n != 60<<10 || err != nil {
		t.Fatal(n, err)
	}
	other := plain(t, d, "b")
	if n, err := d.Write(other, make([]byte, 8<<10), 0, now); n != 4<<10 || err != nil {
		t.Errorf("%d, %v, want the half that fits", n, err)
	}
	if n, err := d.Write(other, []byte{1}, 4<<10, now); n != 0 || err != ErrFull {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := d.Write(id, []byte("over"), 0, now); err != nil {
		t.Errorf("where bytes are already: %v", err)
	}
	if _, err := d.Write(id, []byte{1}, 64<<10, now); err != ErrTooLarge {
		t.Errorf("beyond the disk: %v", err)
	}
	must(t, d.Remove(Root, "a", false, now))
	d.Change(Full())
	if _, err := d.Write(other, []byte{1}, 4<<10, now); err != ErrFull {
		t.Errorf("on a disk that is full: %v", err)
	}
	if _, err := d.Make(Root, "c", Attr{}, ""); err != ErrFull {
		t.Errorf("a file on a disk that is full: %v", err)
	}
	d.Change(Normal())
	for i := range 100 {
		_, err = d.Make(Root, string(rune('A'+i)), Attr{}, "")
	}
	if err != ErrFull {
		t.Errorf("files without end: %v", err)
	}
}

// TestFail: what is to fail does, after as many bytes as were said, and is counted.
func TestFail(t *testing.T) {
	for _, c := range []struct {
		what  Operation
		fails []Operation
	}{{Write, []Operation{Write}}, {Read, []Operation{Read}}, {Fsync, []Operation{Fsync}}, {All, []Operation{Read, Write, Fsync}}, {Nothing, nil}} {
		d := New(1<<20, now)
		id := plain(t, d, "a")
		d.Change(Fail(c.what, 0))
		_, readErr := d.Read(id, make([]byte, 1), 0)
		_, writeErr := d.Write(id, []byte{1}, 0, now)
		for what, err := range map[Operation]error{Read: readErr, Write: writeErr, Fsync: d.Fsync(id)} {
			if failed := slices.Contains(c.fails, what); failed != (err == ErrFailed) {
				t.Errorf("%s is to fail: %s: %v", c.what, what, err)
			}
		}
		if d.Failed != uint64(len(c.fails)) {
			t.Errorf("%s is to fail: %+v", c.what, d.Count)
		}
	}

	for _, what := range []Operation{Write, Fsync} {
		d := New(1<<20, now)
		id := plain(t, d, "a")
		d.Change(Fail(what, 10))
		for range 2 {
			write(t, d, id, "12345")
			if d.After > 0 {
				must(t, d.Fsync(id))
			}
		}
		_, err := d.Write(id, []byte{1}, 0, now)
		if what == Fsync {
			err = d.Fsync(id)
		}
		if err != ErrFailed {
			t.Errorf("%s after 10 bytes: %v", what, err)
		}
	}

	// What a failed fsync was to make safe is not.
	d := New(1<<20, now)
	id := plain(t, d, "a")
	must(t, d.Fsync(Root))
	d.Change(Fail(Fsync, 0))
	d.Change(Forget())
	write(t, d, id, "lost")
	if err := d.Fsync(id); err != ErrFailed {
		t.Error(err)
	}
	d.PowerCut()
	if got := text(t, d, "a"); got != "" {
		t.Errorf("the file has %q", got)
	}
}

// TestBlocks: bytes are where they were written, across the borders of blocks.
func TestBlocks(t *testing.T) {
	d := New(1<<20, now)
	id := plain(t, d, "a")
	data := bytes.Repeat([]byte("0123456789"), 2000)
	for begin := 0; begin < len(data); begin += 777 {
		piece := data[begin:min(len(data), begin+777)]
		if n, err := d.Write(id, piece, int64(begin), now); err != nil || n != len(piece) {
			t.Fatal(n, err)
		}
	}
	got := make([]byte, len(data)+1)
	if n, err := d.Read(id, got, 0); err != nil || !bytes.Equal(got[:n], data) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := d.Read(id, got, 1<<19); n != 0 || err != nil {
		t.Errorf("beyond the end: %d, %v", n, err)
	}
	if _, err := d.SetAttr(id, math.MaxInt64/2, func(*Attr) {}); err != ErrTooLarge {
		t.Errorf("longer than the disk: %v", err)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []Change{Slow(-1), Slow(time.Hour), Fail("sometimes", 0), Fail(Write, -1), {After: 5}} {
		if c.Check() == nil {
			t.Errorf("%+v passes", c)
		}
	}
	for _, c := range []Change{Normal(), Full(), Forget(), Slow(time.Second), Fail(All, 5)} {
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	}
}
