package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

// sector is what a disk writes wholly or not at all. frame is the length in front of a record, which never lies in two of
// them.
const (
	sector = 512
	frame  = 8
)

// seekData is the SEEK_DATA of Linux.
const seekData = 3

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errLost is the error of a log that ends before what was written to it.
var errLost = errors.New("what follows was on the disk, and is not an end that a crash leaves")

// checkEnd fails where a log seems to end although it went on. A length that became zero or too long looks like the last
// write of a machine that has lost its power, and what comes after it would be cut off; it may have been promised to somebody.
func checkEnd(dir string) error {
	segments, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(segments) == 0 {
		return err
	}
	f, err := os.Open(segments[len(segments)-1]) // they are sorted; in those before, the sums show it
	if err != nil {
		return err
	}
	defer f.Close()

	offset, err := endOf(f)
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil // who reads it in earnest says so
	}
	rest, left, err := behind(f, offset)
	if err != nil {
		return err
	}
	if offset%frame != 0 || lost(rest, left) { // records are padded, so none begins elsewhere
		return fmt.Errorf("%s at %d: %w", f.Name(), offset, errLost)
	}
	return nil
}

// behind returns what a file has from an offset on, without the zeros in the end, and how many bytes follow the offset.
func behind(f *os.File, offset int64) (rest []byte, left int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	written := offset
	chunk, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := offset; ; {
		at, err = f.Seek(at, seekData) // most of a segment was never written, and need not be read
		if errors.Is(err, syscall.ENXIO) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		n, err := f.ReadAt(chunk, at)
		if err != nil && err != io.EOF {
			return nil, 0, err
		}
		at += int64(n)
		if !bytes.Equal(chunk[:n], zeros[:n]) {
			written = at
		}
	}
	rest = make([]byte, written-offset)
	_, err = io.ReadFull(io.NewSectionReader(f, offset, written-offset), rest)
	return bytes.TrimRight(rest, "\x00"), info.Size() - offset, err
}

// endOf returns where the last record of a segment ends, and why that is the last one.
func endOf(f *os.File) (int64, error) {
	decoder := wal.NewDecoder(fileutil.NewFileReader(f))
	for {
		var r walpb.Record
		err := decoder.Decode(&r)
		if err != nil {
			return decoder.LastOffset(), err
		}
		if r.GetType() == wal.CrcType {
			decoder.UpdateCRC(r.GetCrc())
		}
	}
}

// lost says whether what is written behind the last record that can be read is more than a write that was not finished. Left is how
// long the file is from there on.
func lost(rest []byte, left int64) bool {
	if len(rest) == 0 {
		return false
	}
	// A length that is too long is none, for it came to the disk wholly. A segment that ends there was cut, which a crash can do.
	size, padding := lengthOf(rest)
	if size+padding > left-frame && left-int64(len(rest)) >= sector {
		return true
	}

	// An entry is synced before the next write begins, which is an entry behind a state. So all in front of the first of
	// those three was on the disk.
	for at := frame; at < len(rest); at += frame {
		found := 0
		r, next := record(rest[at:])
		for r != nil {
			switch {
			case found == 0 && r.GetType() == wal.EntryType, found == 1 && r.GetType() == wal.StateType:
				found++
			case found == 2 && r.GetType() == wal.EntryType:
				return true
			}
			before := r.GetCrc()
			r, next = record(next)
			if r != nil && r.GetCrc() != crc32.Update(before, castagnoli, r.Data) {
				break
			}
		}
	}
	return false
}

// lengthOf returns how many bytes a record has, and how many follow it up to the next one.
func lengthOf(b []byte) (size, padding int64) {
	if len(b) < frame {
		return 0, 0
	}
	n := binary.LittleEndian.Uint64(b)
	if int64(n) < 0 {
		padding = int64(n>>56) & 7
	}
	return int64(n & (1<<56 - 1)), padding
}

// record returns the record that b begins with, nil if it begins with none, and what follows it.
func record(b []byte) (*walpb.Record, []byte) {
	size, padding := lengthOf(b)
	if size == 0 || size+padding > int64(len(b))-frame {
		return nil, nil
	}
	b = b[frame:]
	var r walpb.Record
	err := proto.Unmarshal(b[:size], &r)
	if err != nil || r.GetType() < wal.MetadataType || r.GetType() > wal.SnapshotType {
		return nil, nil
	}
	return &r, b[size+padding:]
}
