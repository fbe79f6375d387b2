package wire

import (
	"errors"
	"fmt"

	"github.com/divisi-go/divisi/internal/trace"
)

const traceSize = 25

// MaxMeta is the longest encoded metadata of a request.
const MaxMeta = 1<<16 - 1

const maxSections = traceSize + 2 + MaxMeta

// AppendBind appends a BIND frame: from now on index means the method with the key.
func AppendBind(b []byte, index uint16, key [16]byte) []byte {
	b = Header{Length: 18, Type: TypeBind}.Append(b)
	b = le.AppendUint16(b, index)
	return append(b, key[:]...)
}

// ParseBind reads the body of a BIND.
func ParseBind(body []byte) (index uint16, key [16]byte) {
	return le.Uint16(body), [16]byte(body[2:])
}

// AppendCancel appends a CANCEL frame.
func AppendCancel(b []byte, call uint32) []byte {
	return Header{Call: call, Type: TypeCancel}.Append(b)
}

// AppendCredit appends a CREDIT frame, for the connection if call is 0.
func AppendCredit(b []byte, call, bytes uint32) []byte {
	b = Header{Length: 4, Call: call, Type: TypeCredit}.Append(b)
	return le.AppendUint32(b, bytes)
}

// ParseCredit reads the body of a CREDIT.
func ParseCredit(body []byte) uint32 { return le.Uint32(body) }

// AppendPing appends a PING or a PONG frame.
func AppendPing(b []byte, t Type, opaque [8]byte) []byte {
	return append(Header{Length: 8, Type: t}.Append(b), opaque[:]...)
}

// Reason says why an end of a connection goes away.
type Reason uint16

// The reasons of a GOAWAY.
const (
	ReasonDrain     Reason = 0 // no new calls, please; those in flight will be answered
	ReasonViolation Reason = 1 // the peer broke the protocol; the connection ends now
	ReasonStalled   Reason = 2 // the peer takes no data, or does not answer; the connection ends now
)

// GoAway is the body of a GOAWAY.
type GoAway struct {
	Reason Reason
	Last   uint32 // the call accepted last, for the record: calls are not numbered in order
	Text   string
}

// Append appends the frame to b. A text of more than MaxReason bytes is cut.
func (g GoAway) Append(b []byte) []byte {
	text := g.Text[:min(len(g.Text), MaxReason)]
	b = Header{Length: uint32(4 + len(text)), Code: uint16(g.Reason), Type: TypeGoAway}.Append(b)
	b = le.AppendUint32(b, g.Last)
	return append(b, text...)
}

// ParseGoAway reads a GOAWAY.
func ParseGoAway(f Frame) GoAway {
	text := string([]rune(string(f.Body[4:]))) // U+FFFD for what is not UTF-8
	return GoAway{Reason: Reason(f.Code), Last: le.Uint32(f.Body), Text: text}
}

// AppendSections appends what stands in front of a request's arguments, and returns the flags
// that say so. It fails if the metadata is longer than MaxMeta bytes.
func AppendSections(b []byte, t trace.SpanContext, meta map[string]string) ([]byte, Flags, error) {
	var flags Flags
	if t != (trace.SpanContext{}) {
		flags |= FlagTrace
		b = append(b, t.TraceID[:]...)
		b = append(b, t.SpanID[:]...)
		b = append(b, t.Flags)
	}
	if len(meta) == 0 {
		return b, flags, nil
	}
	size := 0
	for k, v := range meta {
		if size += 4 + len(k) + len(v); size > MaxMeta {
			return b, flags, fmt.Errorf("the metadata of a call is longer than %d bytes", MaxMeta)
		}
	}
	b = le.AppendUint16(b, uint16(size))
	for k, v := range meta {
		b = append(le.AppendUint16(b, uint16(len(k))), k...)
		b = append(le.AppendUint16(b, uint16(len(v))), v...)
	}
	return b, flags | FlagMeta, nil
}

var errSections = errors.New("a request ends inside its metadata")

// ParseSections splits a request's body, which may have arrived in chunks. Its errors concern
// that request only. The arguments alias the body.
func ParseSections(flags Flags, body []byte) (t trace.SpanContext, meta map[string]string, args []byte, err error) {
	if flags&FlagTrace != 0 {
		if len(body) < traceSize {
			return t, nil, nil, errSections
		}
		t = trace.SpanContext{TraceID: [16]byte(body), SpanID: [8]byte(body[16:]), Flags: body[24]}
		body = body[traceSize:]
	}
	if flags&FlagMeta == 0 {
		return t, nil, body, nil
	}
	section, body, ok := cut(body)
	if !ok {
		return t, nil, nil, errSections
	}
	for len(section) > 0 {
		var k, v []byte
		if k, section, ok = cut(section); ok {
			v, section, ok = cut(section)
		}
		if !ok {
			return t, nil, nil, errSections
		}
		if meta == nil {
			meta = map[string]string{}
		}
		meta[string(k)] = string(v)
	}
	return t, meta, body, nil
}

// cut splits b after the bytes whose number stands in its first two.
func cut(b []byte) (head, tail []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(le.Uint16(b))
	if b = b[2:]; n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
