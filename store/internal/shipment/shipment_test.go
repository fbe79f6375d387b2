package shipment

import (
	"bytes"
	"io"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

type content []byte

func (c content) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, bytes.NewReader(c)) }
func (content) Close() error                         { return nil }
func (c content) Size() int64                        { return int64(len(c)) }

func written(t testing.TB, database []byte) []byte {
	var b bytes.Buffer
	m := &raftpb.Message{Type: raftpb.MsgSnap.Enum(), To: new(uint64(2)), Snapshot: &raftpb.Snapshot{
		Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(7)), Term: new(uint64(1))},
	}}
	if err := Write(&b, m, content(database)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(data []byte, limit int64) ([]byte, error) {
	_, database, err := Open(bytes.NewReader(data), limit)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(database)
}

// TestWhole: what arrives is what was sent, or an error, whatever byte is lost or changed.
func TestWhole(t *testing.T) {
	database := bytes.Repeat([]byte("database "), 100)
	whole := written(t, database)
	got, err := read(whole, 1<<20)
	if err != nil || !bytes.Equal(got, database) {
		t.Fatalf("%d bytes arrived, of %d: %v", len(got), len(database), err)
	}
	for i := range whole {
		if _, err := read(whole[:i], 1<<20); err == nil {
			t.Errorf("a state that is cut after %d bytes has no error", i)
		}
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		if _, err := read(changed, 1<<20); err == nil {
			t.Errorf("a state whose byte %d is another one has no error", i)
		}
	}
	if _, err := read(whole, int64(len(database))-1); err == nil {
		t.Error("a state that is too large has no error")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(written(f, nil))
	f.Add(written(f, []byte("database")))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := read(data, 1<<16)
		if err == nil && len(got) > len(data) {
			t.Errorf("%d bytes came of %d", len(got), len(data))
		}
	})
}
