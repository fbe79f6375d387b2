// Package wire is the format of calls between processes: the preface, the frames and what
// their bodies hold. It does no I/O of its own and starts nothing; package call drives it.
// docs/calls.md describes the format for other implementations.
//
// All integers are little-endian. Every length that arrives is compared with what is left
// before it is used, and no decoder panics or allocates more than a small multiple of what has
// arrived.
package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

const (
	// HeaderSize is the length of a frame's header.
	HeaderSize = 16
	// MaxChunk is the longest message, or part of one, that travels in one frame.
	MaxChunk = 64 << 10
	// MaxBody is the longest body of a frame: a chunk and what may stand before it.
	MaxBody = MaxChunk + 64
	// MaxHello is the longest body of a HELLO.
	MaxHello = 4 << 10
	// MaxReason is the longest text in a GOAWAY.
	MaxReason = 1 << 10
	// MinWindow is the smallest receive window: half of it, which is when credit is given
	// back, always lets the longest frame pass.
	MinWindow = 2 * (HeaderSize + MaxBody)

	totalSize = 8 // the total length in front of the first chunk
)

var le = binary.LittleEndian

// Type says what a frame is.
type Type byte

// The types of frames.
const (
	TypeHello Type = 1 + iota
	TypeBind
	TypeRequest
	TypeResponse
	TypeCancel
	TypeData
	TypeCredit
	TypePing
	TypePong
	TypeGoAway
)

// Flags qualify a frame. An unknown flag of the high nibble is ignored by the receiver; one of
// the low nibble that does not belong to the frame's type is a violation.
type Flags byte

// The flags.
const (
	FlagMore       Flags = 1  // chunks of this message follow
	FlagCont       Flags = 2  // this chunk continues a message
	FlagMeta       Flags = 4  // a request starts with metadata
	FlagTrace      Flags = 8  // a request starts with a trace position
	FlagIdempotent Flags = 16 // a request may be executed twice
	FlagCompressed Flags = 32 // reserved: never sent, and refused, until both ends announce it
)

// Header stands in front of every frame.
type Header struct {
	Length uint32 // bytes of the body
	Call   uint32 // the call, chosen by the caller; 0 is the connection itself
	Code   uint16 // REQUEST: index of the method; RESPONSE: status; GOAWAY: reason
	Type   Type
	Flags  Flags
	Aux    uint32 // REQUEST: time left, see TimeLeft; RESPONSE: the server's load
}

// Frame is a header with its body.
type Frame struct {
	Header
	Body []byte // of a long one perhaps only the beginning, see ReadBody

	missing int     // bytes of the body that have not been read
	from    *Reader // that reads them
}

// Whole reports whether Body is all of the body.
func (f Frame) Whole() bool { return f.missing == 0 }

// ReadBody puts all of the body into b, which is as long, and reads what is missing straight into it. What
// follows in the capacity of b may be changed. It is called once at most, and before the reader returns the
// next frame.
func (f Frame) ReadBody(b []byte) error {
	n := copy(b, f.Body)
	if f.missing == 0 {
		return nil
	}
	return f.from.rest(b[n:])
}

// Violation is a breach of the framing, after which nothing more on the connection can be
// trusted: it ends with a GOAWAY that says the violation.
type Violation string

func (v Violation) Error() string { return "protocol violation: " + string(v) }

func violation(format string, args ...any) error {
	return Violation(fmt.Sprintf(format, args...))
}

// shape is what the header of a type of frame must look like.
type shape struct {
	name     string
	min, max uint32 // length of the body
	call     bool   // belongs to a call; CREDIT may and may not
	flags    Flags  // allowed flags of the low nibble
}

var shapes = [...]shape{
	TypeHello:    {"HELLO", 0, MaxHello, false, 0},
	TypeBind:     {"BIND", 18, 18, false, 0},
	TypeRequest:  {"REQUEST", 0, MaxBody, true, FlagMore | FlagCont | FlagMeta | FlagTrace},
	TypeResponse: {"RESPONSE", 0, MaxBody, true, FlagMore | FlagCont},
	TypeCancel:   {"CANCEL", 0, 0, true, 0},
	TypeData:     {"DATA", 0, MaxBody, true, FlagMore | FlagCont},
	TypeCredit:   {"CREDIT", 4, 4, true, 0},
	TypePing:     {"PING", 8, 8, false, 0},
	TypePong:     {"PONG", 8, 8, false, 0},
	TypeGoAway:   {"GOAWAY", 4, 4 + MaxReason, false, 0},
}

func (t Type) String() string {
	if t == 0 || int(t) >= len(shapes) {
		return fmt.Sprintf("type %d", byte(t))
	}
	return shapes[t].name
}

// Append appends the header to b.
func (h Header) Append(b []byte) []byte {
	b = le.AppendUint32(b, h.Length)
	b = le.AppendUint32(b, h.Call)
	b = le.AppendUint16(b, h.Code)
	b = append(b, byte(h.Type), byte(h.Flags))
	return le.AppendUint32(b, h.Aux)
}

// Put writes the header to the first HeaderSize bytes of b.
func (h Header) Put(b []byte) { h.Append(b[:0:HeaderSize]) }

// ParseHeader reads a header from the first HeaderSize bytes of b. It returns a Violation
// unless the header is one that this version may receive.
func ParseHeader(b []byte) (Header, error) {
	h := Header{
		Length: le.Uint32(b), Call: le.Uint32(b[4:]), Code: le.Uint16(b[8:]),
		Type: Type(b[10]), Flags: Flags(b[11]), Aux: le.Uint32(b[12:HeaderSize]),
	}
	return h, h.check()
}

func (h Header) check() error {
	if h.Type == 0 || int(h.Type) >= len(shapes) {
		return violation("unknown frame type %d", byte(h.Type))
	}
	s := &shapes[h.Type]
	switch {
	case h.Length < s.min || h.Length > s.max:
		return violation("%s with a body of %d bytes, not %d to %d", s.name, h.Length, s.min, s.max)
	case h.Flags&0x0f&^s.flags != 0:
		return violation("%s with flags %#02x", s.name, byte(h.Flags))
	case h.Flags&FlagCompressed != 0:
		return violation("%s is compressed, which was not agreed", s.name)
	case (h.Call != 0) != s.call && h.Type != TypeCredit:
		return violation("%s for call %#x", s.name, h.Call)
	case h.Flags&FlagCont != 0 && h.Flags&(FlagMeta|FlagTrace) != 0:
		return violation("%s with flags %#02x on a continuation", s.name, byte(h.Flags))
	case h.First() && h.Length < totalSize:
		return violation("%s without its total length", s.name)
	}
	return nil
}

// First says that the frame is the first chunk of several.
func (h Header) First() bool { return h.Flags&(FlagMore|FlagCont) == FlagMore }

// Cost is the credit that the frame uses, of its call and of its connection: the whole frame
// for DATA and for chunks, nothing for any other frame.
func (h Header) Cost() int64 {
	if h.Type == TypeData || h.Flags&(FlagMore|FlagCont) != 0 {
		return HeaderSize + int64(h.Length)
	}
	return 0
}

const timeUnit = 64 * time.Microsecond

// TimeLeft is the time that a request's Aux gives; ok is false when it has no deadline.
func TimeLeft(aux uint32) (left time.Duration, ok bool) {
	return time.Duration(aux) * timeUnit, aux != 0
}

// TimeLeftAux is the Aux of a request whose deadline is in that time. It is rounded up, and a
// deadline that is more than 76 hours away is none, so that the callee never gives up first.
func TimeLeftAux(left time.Duration) uint32 {
	units := (max(left, 1)-1)/timeUnit + 1
	if units > math.MaxUint32 {
		return 0
	}
	return uint32(units)
}

// LoadAux is the Aux of a response: the number of calls in flight at the server.
func LoadAux(inFlight int) uint32 { return uint32(min(inFlight, 1<<16-1)) }
