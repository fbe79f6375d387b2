package discover

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/divisi-go/divisi/internal/whole"
)

// cacheFormat is the format that caches are written in. A file of another one is left alone.
const cacheFormat = 1

// cached is what the file of a cache has.
type cached struct {
	Format  int       `json:"format"`
	Source  string    `json:"source"`
	Written time.Time `json:"written"`
	Version Version   `json:"version"`
	Entries []Entry   `json:"entries"`
	Sum     []byte    `json:"sha256"` // of the file with no sum
}

// sum returns the sum that the file should have.
func (c cached) sum() []byte {
	c.Sum = nil
	text, _ := json.Marshal(c) // of such fields there is nothing that has no JSON
	sum := sha256.Sum256(text)
	return sum[:]
}

// writeCache writes data to a file, which is either what it was or has all of it.
func writeCache(path, source string, data Data, now time.Time) error {
	c := cached{Format: cacheFormat, Source: source, Written: now.UTC().Round(0), Version: data.Version, Entries: data.Entries}
	c.Sum = c.sum()
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}

	return whole.Write(path, text, 0o600)
}

// readCache returns the data of a source that a file has, and when it was written.
func readCache(path, source string) (Data, time.Time, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Data{}, time.Time{}, err
	}

	var c cached
	err = json.Unmarshal(text, &c)
	switch {
	case err != nil:
		return Data{}, time.Time{}, fmt.Errorf("%s is damaged: %w", path, err)
	case c.Format != cacheFormat:
		return Data{}, time.Time{}, fmt.Errorf("%s has the format %d, and only %d is known", path, c.Format, cacheFormat)
	case !bytes.Equal(c.Sum, c.sum()):
		return Data{}, time.Time{}, fmt.Errorf("%s is damaged: its sum is not that of its content", path)
	case c.Source != source:
		return Data{}, time.Time{}, fmt.Errorf("%s is of another source: %s", path, c.Source)
	}
	return Data{Version: c.Version, Entries: c.Entries}, c.Written, nil
}
