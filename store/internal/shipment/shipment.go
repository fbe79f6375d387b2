// Package shipment is the state of a member as it goes to another one: a message of raft, the database that belongs
// to it, and a check sum of both.
//
//	4 bytes    how long the message is
//	           the message
//	8 bytes    how long the database is
//	           the database
//	32 bytes   SHA-256 of all that comes before
//
// Lengths are big endian.
package shipment

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/divisi-go/divisi/store/internal/drive"
)

// maxMessage bounds the message: it names the members, and has no entries.
const maxMessage = 1 << 20

// Write writes a state.
func Write(w io.Writer, m *raftpb.Message, database drive.Database) error {
	message, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("cannot send a state: %w", err)
	}
	if len(message) > maxMessage {
		return fmt.Errorf("cannot send a state: its message has %d bytes, and may have %d", len(message), maxMessage)
	}

	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	size := database.Size()
	head := binary.BigEndian.AppendUint32(nil, uint32(len(message)))
	head = append(head, message...)
	head = binary.BigEndian.AppendUint64(head, uint64(size))
	_, err = out.Write(head)
	if err != nil {
		return fmt.Errorf("cannot send a state: %w", err)
	}
	n, err := database.WriteTo(out)
	if err == nil && n != size {
		err = fmt.Errorf("the database has %d bytes, and not %d", n, size)
	}
	if err == nil {
		_, err = w.Write(sum.Sum(nil))
	}
	if err != nil {
		return fmt.Errorf("cannot send a state: %w", err)
	}
	return nil
}

// Open reads the beginning of a state. It refuses a database of more than limit bytes.
func Open(r io.Reader, limit int64) (*raftpb.Message, *Database, error) {
	sum := sha256.New()
	in := io.TeeReader(r, sum)

	message, err := readMessage(in)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot receive a state: %w", err)
	}
	var size [8]byte
	_, err = io.ReadFull(in, size[:])
	if err != nil {
		return nil, nil, fmt.Errorf("cannot receive a state: %w", short(err))
	}
	length := binary.BigEndian.Uint64(size[:])
	if length > uint64(limit) {
		return nil, nil, fmt.Errorf("cannot receive a state of %d bytes, which is more than %d: give this member the quota of the others", length, limit)
	}
	return message, &Database{source: r, in: in, left: int64(length), sum: sum}, nil
}

func readMessage(r io.Reader) (*raftpb.Message, error) {
	var length [4]byte
	_, err := io.ReadFull(r, length[:])
	if err != nil {
		return nil, short(err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxMessage {
		return nil, fmt.Errorf("its message has %d bytes, and may have %d", n, maxMessage)
	}
	data := make([]byte, n)
	_, err = io.ReadFull(r, data)
	if err != nil {
		return nil, short(err)
	}
	m := &raftpb.Message{}
	err = proto.Unmarshal(data, m)
	if err != nil {
		return nil, err
	}
	if m.GetType() != raftpb.MsgSnap || m.GetSnapshot().GetMetadata().GetIndex() == 0 {
		return nil, errors.New("its message is that of no state")
	}
	return m, nil
}

// Database is what follows. It ends only where the check sum is right, so who keeps what is read until then keeps
// what was sent, or nothing.
type Database struct {
	source, in io.Reader // in sums up what is read
	left       int64
	sum        hash.Hash
	checked    bool
}

// Read reads the database.
func (d *Database) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, d.end()
	}
	n, err := d.in.Read(p[:min(int64(len(p)), d.left)])
	d.left -= int64(n)
	if err != nil && d.left > 0 {
		return n, short(err)
	}
	return n, nil
}

func (d *Database) end() error {
	if d.checked {
		return io.EOF
	}
	var said [sha256.Size]byte
	_, err := io.ReadFull(d.source, said[:])
	if err != nil {
		return short(err)
	}
	if said != [sha256.Size]byte(d.sum.Sum(nil)) {
		return errors.New("the state has changed on its way: its check sum is wrong")
	}
	d.checked = true
	return io.EOF
}

// short returns the error of what ends too early.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
