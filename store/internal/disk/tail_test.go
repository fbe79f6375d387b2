package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

// framed returns records as a log has them.
func framed(kinds ...int64) []byte {
	var all []byte
	var sum uint32
	for _, kind := range kinds {
		r := &walpb.Record{Type: &kind, Data: []byte("some data")}
		sum = crc32.Update(sum, castagnoli, r.Data)
		r.Crc = new(sum)
		text, err := proto.Marshal(r)
		if err != nil {
			panic(err)
		}
		padding := -len(text) & 7
		all = binary.LittleEndian.AppendUint64(all, uint64(len(text))|uint64(0x80|padding)<<56)
		all = append(append(all, text...), make([]byte, padding)...)
	}
	return all
}

// FuzzLost: whatever follows the last record, nothing is read that is not there; what is only another end is not lost.
func FuzzLost(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add(framed(wal.EntryType, wal.StateType, wal.EntryType), int64(1000))
	f.Add(framed(wal.EntryType), int64(20))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, int64(1000))
	f.Fuzz(func(t *testing.T, rest []byte, left int64) {
		rest = bytes.TrimRight(rest, "\x00")
		if lost(rest, max(left, int64(len(rest)))) && len(rest) == 0 {
			t.Error("nothing is lost")
		}
	})
}

func TestLost(t *testing.T) {
	const entry, state = wal.EntryType, wal.StateType
	gone := make([]byte, 64)
	long := []byte{0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 'x'}
	for name, test := range map[string]struct {
		rest []byte
		left int64
		want bool
	}{
		"nothing":                          {nil, 64 << 20, false},
		"half a record":                    {framed(entry)[:16], 64 << 20, false},
		"a record without its first bytes": {append(gone, framed(entry)...), 64 << 20, false},
		"the rest of one write":            {append(gone, framed(entry, entry, state)...), 64 << 20, false},
		"a state, and the next write":      {append(gone, framed(state, entry, state)...), 64 << 20, false},
		"two writes":                       {append(gone, framed(entry, state, entry)...), 64 << 20, true},
		"many":                             {append(gone, framed(state, entry, entry, state, state, entry)...), 64 << 20, true},
		"a length that is too long":        {long, 64 << 20, true},
		"a segment that was cut":           {long, int64(len(long)), false},
	} {
		if got := lost(test.rest, test.left); got != test.want {
			t.Errorf("%s: lost is %v", name, got)
		}
	}
}
