package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// counter is a state: the numbers that were added. Everything happens under its mutex, as in a
// keeper.
type counter struct {
	mu      sync.Mutex
	numbers []int
	journal *Journal
	states  int // how often the whole state was asked for
}

func openCounter(t *testing.T, path string) *counter {
	t.Helper()
	return openOn(t, path, create)
}

// openOn has the files of the journal made by a function.
func openOn(t *testing.T, path string, create func(string) (file, error)) *counter {
	t.Helper()
	c := &counter{}
	var err error
	if c.journal, err = open(path, "", c.state, create); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *counter) state(forget func()) []any {
	c.mu.Lock()
	defer c.mu.Unlock()
	forget()
	c.states++
	list := []any{"state"}
	for _, n := range c.numbers {
		list = append(list, n)
	}
	return list
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers = append(c.numbers, n)
	c.journal.Add(n)
}

// check compares the file with the state.
func (c *counter) check(t *testing.T, path string) {
	t.Helper()
	if err := c.journal.Sync(time.Minute); err != nil {
		t.Fatal(err)
	}
	lines, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range lines {
		got = append(got, strings.TrimSpace(string(line)))
	}
	want := []string{`"state"`}
	for _, n := range c.numbers {
		want = append(want, fmt.Sprint(n))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
	if lost := c.journal.Health().Lost; lost != 0 {
		t.Errorf("%d changes are lost", lost)
	}
}

// TestBurst adds more at once than waits for the disk, and more than a file takes: nothing is
// missing, in order.
func TestBurst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	c := openCounter(t, path)
	for n := range 200_000 {
		c.add(n)
	}
	c.check(t, path)
	if c.states < 2 {
		t.Errorf("the state was written %d times", c.states)
	}
	if err := c.journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk has the file fail for a time: what is missing is counted, and there in the end.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	c := openCounter(t, path)
	c.add(1)
	c.check(t, path)

	// Nothing can be written any more, and no new file can be made.
	c.journal.turn <- struct{}{}
	c.journal.file.Close()
	<-c.journal.turn
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path+".new", "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		c.add(n)
	}
	if err := c.journal.Sync(time.Minute); err == nil {
		t.Error("the disk takes nothing, and nobody says so")
	}
	if lost := c.journal.Health().Lost; lost != 10 {
		t.Errorf("%d changes are lost, not 10", lost)
	}

	if err := os.RemoveAll(path + ".new"); err != nil {
		t.Fatal(err)
	}
	c.add(11)
	c.check(t, path)
	if err := c.journal.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.journal.Sync(time.Minute); !errors.Is(err, ErrClosed) {
		t.Errorf("after its end: %v", err)
	}
}

// badDisk is a disk that fails, or takes its time.
type badDisk struct {
	mu    sync.Mutex // guards what follows
	write error
	sync  error
	takes time.Duration // each write and sync
	syncs int           // that have succeeded
}

func (d *badDisk) create(path string) (file, error) {
	f, err := create(path)
	if err != nil {
		return nil, err
	}
	return &badFile{f, d}, nil
}

// set changes the disk.
func (d *badDisk) set(write, sync error, takes time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write, d.sync, d.takes = write, sync, takes
}

func (d *badDisk) is() (write, sync error) {
	d.mu.Lock()
	takes := d.takes
	d.mu.Unlock()
	if takes > 0 {
		time.Sleep(takes)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write, d.sync
}

type badFile struct {
	file
	disk *badDisk
}

func (f *badFile) Write(data []byte) (int, error) {
	if err, _ := f.disk.is(); err != nil {
		return 0, err
	}
	return f.file.Write(data)
}

func (f *badFile) Sync() error {
	if _, err := f.disk.is(); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.syncs++
	return f.file.Sync()
}

// written returns how many states were written, and how many syncs of a disk have succeeded.
func (c *counter) written(d *badDisk) (states, syncs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	return c.states, d.syncs
}

// close ends a journal whose disk is well.
func (c *counter) close(t *testing.T) {
	t.Helper()
	if err := c.journal.Close(); err != nil {
		t.Error(err)
	}
}

// TestFailedSync: while syncs fail, nobody is told that anything is on the disk, and what was added can be read. Once they
// succeed, it is a fresh file that is synced, also of what was added before, without anybody asking.
func TestFailedSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "j")
		d := &badDisk{}
		c := openOn(t, path, d.create)
		c.add(1)
		d.set(nil, syscall.EIO, 0)
		for n := range 3 {
			if err := c.journal.Sync(time.Minute); !errors.Is(err, syscall.EIO) {
				t.Errorf("a sync that fails is %v", err)
			}
			c.add(n)
			if err := c.journal.Flush(time.Minute); err != nil {
				t.Error(err)
			}
			if h := c.journal.Health(); h.Trouble == nil || h.Failed < int64(n) || h.Lost > 0 {
				t.Errorf("the journal is %+v", h)
			}
		}
		lines, err := Read(path)
		if err != nil || len(lines) != 5 {
			t.Errorf("there is %q, %v", lines, err)
		}

		d.set(nil, nil, 0)
		states, syncs := c.written(d)
		time.Sleep(2 * mendEvery)
		if h := c.journal.Health(); h.Trouble != nil || !errors.Is(h.Last, syscall.EIO) {
			t.Errorf("the journal is %+v", h)
		}
		if nowStates, nowSyncs := c.written(d); nowStates != states+1 || nowSyncs != syncs+1 {
			t.Errorf("%d states and %d syncs more, not one fresh file", nowStates-states, nowSyncs-syncs)
		}
		c.check(t, path)
		c.close(t)
	})
}

// TestOneFailedSync: a fresh file takes the place of one whose sync has failed once, and whoever waited for that is told
// nothing of it.
func TestOneFailedSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	d := &badDisk{}
	c := openOn(t, path, func(path string) (file, error) {
		d.set(nil, nil, 0) // from the next file on
		return d.create(path)
	})
	c.add(1)
	d.set(nil, syscall.EIO, 0)
	c.check(t, path)
	if h := c.journal.Health(); h.Failed != 1 || h.Trouble != nil || c.states != 2 {
		t.Errorf("the journal is %+v after %d states", h, c.states)
	}
	c.close(t)
}

// TestBadBegin: a journal that cannot be written from the beginning has what was, and goes on as soon as the disk does.
// Where nothing was, there is none.
func TestBadBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "j")
		d := &badDisk{write: syscall.ENOSPC}
		if j, err := open(path, "", (&counter{}).state, d.create); j != nil || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("without a file before: %v, %v", j, err)
		}

		if err := os.WriteFile(path, []byte("1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := openOn(t, path, d.create)
		c.add(2)
		if err := c.journal.Flush(time.Minute); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a full disk is %v", err)
		}
		if h := c.journal.Health(); h.Lost != 1 || !errors.Is(h.Trouble, syscall.ENOSPC) {
			t.Errorf("the journal is %+v", h)
		}
		if lines, err := Read(path); err != nil || len(lines) != 1 {
			t.Errorf("there is %q, %v", lines, err)
		}
		d.set(nil, nil, 0)
		time.Sleep(2 * mendEvery)
		if h := c.journal.Health(); h.Lost != 0 || h.Trouble != nil {
			t.Errorf("the journal is %+v", h)
		}
		c.check(t, path)
		c.close(t)
	})
}

// TestSlowDisk: nobody waits for a slow disk longer than he wants to, those who wait for it wait together, and all is there
// in the end.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes, many = 500 * time.Millisecond, 20
		path := filepath.Join(t.TempDir(), "j")
		d := &badDisk{}
		c := openOn(t, path, d.create)
		d.set(nil, nil, takes)

		begin := time.Now()
		var wait sync.WaitGroup
		for n := range many {
			c.add(n)
			wait.Go(func() {
				if err := c.journal.Sync(time.Minute); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if took := time.Since(begin); took > 4*takes { // the first one, and all others
			t.Errorf("%d syncs take %v", many, took)
		}

		d.set(nil, nil, 5*time.Second)
		begin = time.Now()
		c.add(many)
		for _, write := range []func(time.Duration) error{c.journal.Flush, c.journal.Sync, c.journal.Flush} {
			if err := write(time.Second); !errors.Is(err, ErrSlow) || !strings.Contains(err.Error(), path) {
				t.Errorf("a disk that does not answer is %v", err)
			}
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("three who wait a second wait %v", took)
		}
		if h := c.journal.Health(); !errors.Is(h.Trouble, ErrSlow) || h.Failed != 0 {
			t.Errorf("the journal is %+v", h)
		}

		d.set(nil, nil, 0)
		time.Sleep(11 * time.Second)
		if h := c.journal.Health(); h.Trouble != nil {
			t.Errorf("the journal is %+v", h)
		}
		c.check(t, path)
		c.close(t)
	})
}

// TestSpare: while the file cannot be written the spare one is, whole, and all that is added survives the process, but not
// the machine. It goes as soon as the file has it.
func TestSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path, spare := filepath.Join(dir, "j"), filepath.Join(dir, "spare")
		d := &badDisk{}
		c := &counter{}
		var err error
		c.journal, err = open(path, spare, c.state, func(at string) (file, error) {
			if strings.HasPrefix(at, spare) {
				return create(at)
			}
			return d.create(at)
		})
		if err != nil {
			t.Fatal(err)
		}
		c.add(1)
		c.check(t, path)

		d.set(syscall.ENOSPC, nil, 0)
		for n := range 3 {
			c.add(n)
			if err := c.journal.Flush(time.Minute); err != nil {
				t.Errorf("with a spare file: %v", err)
			}
			if err := c.journal.Sync(time.Minute); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("a full disk is %v", err)
			}
			time.Sleep(2 * mendEvery)
			lines, err := Read(spare)
			if err != nil || len(lines) != len(c.numbers)+1 {
				t.Errorf("there is %q, %v", lines, err)
			}
			if h := c.journal.Health(); h.Lost > 0 || !errors.Is(h.Trouble, syscall.ENOSPC) {
				t.Errorf("the journal is %+v", h)
			}
		}

		d.set(nil, nil, 0)
		time.Sleep(2 * mendEvery)
		if _, err := os.Lstat(spare); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the spare file is left: %v", err)
		}
		if h := c.journal.Health(); h.Trouble != nil {
			t.Errorf("the journal is %+v", h)
		}
		c.check(t, path)
		c.close(t)
	})
}

// TestHalfLine: a line without an end is none.
func TestHalfLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	for text, want := range map[string]int{"": 0, "1\n": 1, "1\n2": 1, "1\n\n2\n": 3, "\xff": 0} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := Read(path)
		if err != nil || len(lines) != want {
			t.Errorf("%q: %q, %v", text, lines, err)
		}
	}
	if lines, err := Read(path + "-none"); lines != nil || err != nil {
		t.Errorf("no file: %q, %v", lines, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("1\n2\n3"))
	path := filepath.Join(f.TempDir(), "j")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := Read(path)
		if err != nil || !bytes.HasPrefix(data, bytes.Join(lines, nil)) || len(lines) != bytes.Count(data, []byte("\n")) {
			t.Errorf("%q: %q, %v", data, lines, err)
		}
	})
}
