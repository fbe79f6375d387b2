package wire

import "fmt"

const (
	// PrefaceSize is the length of what the dialler sends first and the acceptor answers.
	PrefaceSize = 8
	// MagicSize is how much of it tells this protocol from any other.
	MagicSize = 4
	// Version is the only version of the framing so far.
	Version = 1

	magic = "DVS1"
)

// AppendPreface appends a preface: a dialler's with the range of the versions that it speaks,
// an acceptor's with the one it chose, twice.
func AppendPreface(b []byte, lowest, highest uint16) []byte {
	b = append(b, magic...)
	b = le.AppendUint16(b, lowest)
	return le.AppendUint16(b, highest)
}

// CheckMagic looks at the first MagicSize bytes of a preface, so that a peer that speaks
// something else is recognized by them alone.
func CheckMagic(b []byte) error {
	if string(b[:MagicSize]) != magic {
		return fmt.Errorf("the peer speaks another protocol: it starts with %q", b[:MagicSize])
	}
	return nil
}

// ParsePreface reads the range of versions from the first PrefaceSize bytes of b.
func ParsePreface(b []byte) (lowest, highest uint16, err error) {
	if err := CheckMagic(b); err != nil {
		return 0, 0, err
	}
	lowest, highest = le.Uint16(b[4:]), le.Uint16(b[6:])
	if lowest > highest {
		return 0, 0, fmt.Errorf("the peer offers versions %d to %d", lowest, highest)
	}
	return lowest, highest, nil
}

// Hello is what the two ends of a connection tell each other first. An element that the peer
// does not send has its default.
type Hello struct {
	Deployment  string // the version of the application
	Weavelet    string // identifies the process
	MaxMessage  uint64 // longest message this end takes; default DefaultMaxMessage
	MaxInFlight uint32 // most calls this end takes at a time; default DefaultMaxInFlight
	Window      uint32 // bytes it takes before giving credit, in all; default DefaultWindow
	CallWindow  uint32 // the same for each stream or chunked message; default DefaultCallWindow
	Features    uint64 // bits of optional features; none so far
}

// The defaults of the elements of a Hello.
const (
	DefaultMaxMessage  = 100 << 20
	DefaultMaxInFlight = 1024
	DefaultWindow      = 4 << 20
	DefaultCallWindow  = 256 << 10
)

// Elements of a HELLO: u16 tag, u16 length, value.
const (
	tagDeployment  = 1 // text
	tagMaxMessage  = 2 // u64
	tagMaxInFlight = 3 // u32
	tagWindows     = 4 // u32 of the connection, u32 of a stream or chunked message
	tagFeatures    = 5 // u64
	tagWeavelet    = 6 // text
	tagLast        = 6

	maxHelloText = 1 << 10
)

// Append appends the frame to b. Texts of more than 1 KB are cut.
func (h Hello) Append(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, HeaderSize)...)
	text := func(tag uint16, s string) {
		if s = s[:min(len(s), maxHelloText)]; s != "" {
			b = le.AppendUint16(le.AppendUint16(b, tag), uint16(len(s)))
			b = append(b, s...)
		}
	}
	fixed := func(tag, size uint16) { b = le.AppendUint16(le.AppendUint16(b, tag), size) }
	text(tagDeployment, h.Deployment)
	fixed(tagMaxMessage, 8)
	b = le.AppendUint64(b, h.MaxMessage)
	fixed(tagMaxInFlight, 4)
	b = le.AppendUint32(b, h.MaxInFlight)
	fixed(tagWindows, 8)
	b = le.AppendUint32(b, h.Window)
	b = le.AppendUint32(b, h.CallWindow)
	fixed(tagFeatures, 8)
	b = le.AppendUint64(b, h.Features)
	text(tagWeavelet, h.Weavelet)
	Header{Length: uint32(len(b) - start - HeaderSize), Type: TypeHello}.Put(b[start:])
	return b
}

// ParseHello reads the body of a HELLO. Unknown elements are skipped; an element that is there
// twice, has the wrong length or a value that nobody could work with is a Violation.
func ParseHello(body []byte) (Hello, error) {
	h := Hello{
		MaxMessage: DefaultMaxMessage, MaxInFlight: DefaultMaxInFlight,
		Window: DefaultWindow, CallWindow: DefaultCallWindow,
	}
	sizes := [tagLast + 1]int{tagMaxMessage: 8, tagMaxInFlight: 4, tagWindows: 8, tagFeatures: 8}
	var seen [tagLast + 1]bool
	for len(body) > 0 {
		if len(body) < 4 {
			return h, violation("HELLO ends inside an element")
		}
		tag, n := le.Uint16(body), int(le.Uint16(body[2:]))
		if body = body[4:]; n > len(body) {
			return h, violation("HELLO ends inside an element")
		}
		v := body[:n]
		body = body[n:]
		if tag == 0 || tag > tagLast {
			continue
		}
		if seen[tag] || sizes[tag] != 0 && n != sizes[tag] || n > maxHelloText {
			return h, violation("HELLO with element %d of %d bytes", tag, n)
		}
		seen[tag] = true
		switch tag {
		case tagDeployment:
			h.Deployment = string(v)
		case tagMaxMessage:
			h.MaxMessage = le.Uint64(v)
		case tagMaxInFlight:
			h.MaxInFlight = le.Uint32(v)
		case tagWindows:
			h.Window, h.CallWindow = le.Uint32(v), le.Uint32(v[4:])
		case tagFeatures:
			h.Features = le.Uint64(v)
		case tagWeavelet:
			h.Weavelet = string(v)
		}
	}
	if h.Window < MinWindow || h.CallWindow < MinWindow {
		return h, violation("HELLO with a window below %d bytes", MinWindow)
	}
	if h.MaxInFlight == 0 {
		return h, violation("HELLO that allows no call")
	}
	return h, nil
}
