package message

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// MaxSize bounds a message. Profiles and metrics are the largest; 64 MiB is far beyond both.
const MaxSize = 64 << 20

// Write writes a message with its length, in one call of w.Write.
func Write(w io.Writer, m Message) error {
	body := Marshal(m)
	if len(body) > MaxSize {
		return fmt.Errorf("cannot write a message of %d bytes: the limit is %d", len(body), MaxSize)
	}

	frame := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	_, err := w.Write(append(frame, body...))
	return err
}

// Read reads a message, and returns about how much memory it takes. Memory for its bytes is taken as
// they arrive, not as the length claims. The error is io.EOF when r ended before the message, and
// io.ErrUnexpectedEOF when it ended within.
func Read(r io.Reader, m Message) (memory int, err error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, err
	}
	size := binary.LittleEndian.Uint32(header[:])
	if size > MaxSize {
		return 0, fmt.Errorf("a message claims %d bytes: the limit is %d", size, MaxSize)
	}

	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(size)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}

	memory, err = unmarshal(body.Bytes(), m)
	if err != nil {
		return 0, fmt.Errorf("cannot decode a message of %d bytes: %w", size, err)
	}
	return memory, nil
}
