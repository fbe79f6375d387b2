package discover

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	interval = time.Second           // between looks at a file that has not changed
	settle   = 20 * time.Millisecond // a file whose text has not changed for so long is whole
	fresh    = 2 * time.Second       // the time of a change says nothing about another one so soon after it
)

// File is a source that has what is in a file, or in the files of a folder, each of which is an entry whose key
// is its name. Names that begin with a dot are not looked at, nor are folders in it. A file that is not there
// is data without entries.
//
// It looks at the file each second, so it sees a file that is written in place, replaced, or reached by a link
// that moves. What is there while it is being written is not returned.
type File string

var _ Source = File("")

func (f File) String() string { return "file " + string(f) }

// Get returns what the file has.
func (f File) Get(ctx context.Context, after Version) (Data, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()

	for {
		seen, err := f.look()
		if err != nil {
			return Data{}, err
		}
		data, err := f.settled(ctx)
		if err != nil || data.Version != after {
			return data, err
		}

		err = f.changed(waiting, seen)
		switch {
		case ctx.Err() != nil:
			return Data{}, ctx.Err()
		case waiting.Err() != nil:
			return data, nil
		case err != nil:
			return Data{}, err
		}
	}
}

// changed returns when there may be something else than what was seen, or with ctx's error.
func (f File) changed(ctx context.Context, seen mark) error {
	for {
		err := sleep(ctx, interval)
		if err != nil {
			return err
		}
		now, err := f.look()
		if err != nil || now.files != seen.files || seen.at.Sub(seen.newest) < fresh {
			return err
		}
	}
}

// mark is what can be seen of a file or a folder without reading it.
type mark struct {
	files  string    // their names, sizes and times
	newest time.Time // the latest of these times
	at     time.Time // when it was looked at
}

// look returns the mark of the moment.
func (f File) look() (mark, error) {
	m := mark{at: time.Now()}
	err := f.each(func(path string, info fs.FileInfo) error {
		m.files += fmt.Sprintf("%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		if info.ModTime().After(m.newest) {
			m.newest = info.ModTime()
		}
		return nil
	})
	return m, err
}

// settled returns what is there once it has not changed for a moment.
func (f File) settled(ctx context.Context) (Data, error) {
	data, err := f.read()
	for err == nil {
		err = sleep(ctx, settle)
		if err != nil {
			break
		}
		var again Data
		again, err = f.read()
		if err == nil && again.Version == data.Version {
			return data, nil
		}
		data = again
	}
	return Data{}, err
}

// read returns what is there.
func (f File) read() (Data, error) {
	var data Data
	sum, left := sha256.New(), int64(maxData)
	err := f.each(func(path string, _ fs.FileInfo) error {
		value, err := readUpTo(path, left)
		if err != nil {
			return err
		}
		left -= int64(len(value))
		key := filepath.Base(path)
		fmt.Fprintf(sum, "%q %d ", key, len(value))
		sum.Write(value)
		data.Entries = append(data.Entries, Entry{Key: key, Value: value})
		return nil
	})
	data.Version = Version(hex.EncodeToString(sum.Sum(nil)[:8]))
	return data, err
}

// readUpTo returns the content of a file that has no more bytes than that.
func readUpTo(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()

	value, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(value)) > limit {
		err = fmt.Errorf("%s is too long: at most %d bytes are read", path, maxData)
	}
	return value, err
}

// each calls a function for the file, or for each file of the folder, in the order of their names. What has
// gone in the meantime is left out.
func (f File) each(do func(path string, info fs.FileInfo) error) error {
	info, err := os.Stat(string(f))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return gone(do(string(f), info))
	}

	names, err := os.ReadDir(string(f))
	if err != nil {
		return gone(err)
	}
	for _, name := range names {
		path := filepath.Join(string(f), name.Name())
		info, err := os.Stat(path)
		if err == nil && (info.IsDir() || strings.HasPrefix(name.Name(), ".")) {
			continue
		}
		if err == nil {
			err = do(path, info)
		}
		if gone(err) != nil {
			return err
		}
	}
	return nil
}

// gone returns an error unless it says that a file is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
