package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/store"
)

// logged returns a folder in which some keys were written, the file of its log, what is in it, and where its records begin.
func logged(t *testing.T) (dir, path string, text []byte, records []int) {
	t.Helper()
	dir = t.TempDir()
	s := must(store.Open(t.Context(), store.Options{Dir: dir}))(t)
	for i := range 20 {
		must(s.Client().Put(t.Context(), fmt.Sprint(i), "a value of a few bytes, so that a record has some"))(t)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	segments := must(filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal")))(t)
	path = segments[0]
	text = begin(t, path)
	for at := 0; ; {
		next := after(text, at)
		if next == at {
			return dir, path, text, records
		}
		records = append(records, at)
		at = next
	}
}

// after returns where the record after one begins, which is where that one does if there is none.
func after(text []byte, at int) int {
	n := binary.LittleEndian.Uint64(text[at:])
	if n == 0 {
		return at
	}
	return at + 8 + int(n&(1<<56-1)) + int(n>>56)&7
}

// begin returns the part of a log that was written: the rest of its file is empty.
func begin(t *testing.T, path string) []byte {
	t.Helper()
	f := must(os.Open(path))(t)
	defer f.Close()
	text := make([]byte, 64<<10)
	must(io.ReadFull(f, text))(t)
	return text
}

// TestTornLog: a log whose last write came to the disk in part goes on before that.
func TestTornLog(t *testing.T) {
	dir, path, text, records := logged(t)
	last := records[len(records)-1]
	next := int64(after(text, last))
	f := must(os.OpenFile(path, os.O_RDWR, 0))(t)
	must(f.WriteAt(text[last:last+12], next))(t)
	if err := errors.Join(f.Truncate(next+12), f.Close()); err != nil {
		t.Fatal(err)
	}
	s := open(t, store.Options{Dir: dir})
	got := must(s.Client().Get(t.Context(), "19"))(t)
	if got.Count != 1 {
		t.Error("the last key is lost")
	}
	must(s.Client().Put(t.Context(), "again", "v"))(t)
}

// padding returns the length of a padding: the first bit of its byte says that there is one, and the last three how long it is.
func padding(b byte) byte {
	if b&0x80 == 0 {
		return 0
	}
	return b & 7
}

// TestFlippedLog: a log in which a byte has become another one is refused, and stays as it is, wherever that was.
func TestFlippedLog(t *testing.T) {
	dir, path, text, records := logged(t)
	f := must(os.OpenFile(path, os.O_RDWR, 0))(t)
	defer f.Close()
	middle := records[len(records)/2]
	for name, at := range map[string]int{
		"in the first record": records[1] + 10, "in a record": middle + 20, "in the last record": records[len(records)-1] + 10,
		"in a length": middle, "in the second byte of a length": middle + 1, "in the third byte of a length": middle + 2, "in a padding": middle + 7,
	} {
		for _, value := range []byte{0, 0x7f, 0xff} {
			damaged := bytes.Clone(text)
			if damaged[at] == value || at == middle+7 && padding(damaged[at]) == padding(value) {
				continue // some bits of it mean nothing
			}
			damaged[at] = value
			must(f.WriteAt(damaged, 0))(t)
			s, err := store.Open(t.Context(), store.Options{Dir: dir})
			if err == nil {
				_ = s.Close()
				t.Errorf("%x %s: it is opened", value, name)
				continue
			}
			if !strings.Contains(err.Error(), "the log is damaged") || !strings.Contains(err.Error(), "restore a snapshot") {
				t.Errorf("%x %s: %v", value, name, err)
			}
			if !bytes.Equal(begin(t, path), damaged) {
				t.Errorf("%x %s: the file has changed", value, name)
			}
		}
	}
}
