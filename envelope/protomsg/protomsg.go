// Package protomsg frames messages: four bytes of length, little-endian, and the bytes of the
// message.
package protomsg

import (
	"io"

	"github.com/divisi-go/divisi/internal/message"
)

// MaxSize bounds a message.
const MaxSize = message.MaxSize

// Write writes a message with its length, in one call of w.Write.
func Write(w io.Writer, m message.Message) error { return message.Write(w, m) }

// Read reads a message. Memory is taken as bytes arrive, not as the length claims. The error is
// io.EOF when r ended before the message, and io.ErrUnexpectedEOF when it ended within.
func Read(r io.Reader, m message.Message) error {
	_, err := message.Read(r, m)
	return err
}
