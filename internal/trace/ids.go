package trace

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// TraceID names one request through the whole system; zero is none.
type TraceID [16]byte

// SpanID names one span of a trace; zero is none.
type SpanID [8]byte

// String returns 32 hexadecimal digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// String returns 16 hexadecimal digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// Sampled is the bit of SpanContext.Flags that says that the trace is recorded.
const Sampled byte = 1

// SpanContext is what crosses processes: the trace, the span that is the parent of what comes
// next, and the flags of W3C Trace Context. Zero is none.
type SpanContext struct {
	TraceID TraceID
	SpanID  SpanID
	Flags   byte
}

// Valid reports whether sc names a span.
func (sc SpanContext) Valid() bool { return sc.TraceID != TraceID{} && sc.SpanID != SpanID{} }

// Sampled reports whether the trace is recorded.
func (sc SpanContext) Sampled() bool { return sc.Flags&Sampled != 0 }

// Traceparent formats sc as the header of W3C Trace Context, or "" if it is not valid. Of the
// flags only the sampled bit is passed on, as the standard asks of those who know no other.
func (sc SpanContext) Traceparent() string {
	if !sc.Valid() {
		return ""
	}
	return fmt.Sprintf("00-%s-%s-%02x", sc.TraceID, sc.SpanID, sc.Flags&Sampled)
}

// ParseTraceparent parses the header of W3C Trace Context. Of versions after 00 it reads what
// they must have in common with 00.
func ParseTraceparent(s string) (SpanContext, error) {
	const size = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-00")
	var version, flags [1]byte
	var sc SpanContext
	ok := len(s) >= size && s[2] == '-' && s[35] == '-' && s[52] == '-' &&
		unhex(version[:], s[:2]) && unhex(sc.TraceID[:], s[3:35]) &&
		unhex(sc.SpanID[:], s[36:52]) && unhex(flags[:], s[53:55]) &&
		version[0] != 0xff && sc.Valid()
	if len(s) > size {
		ok = ok && version[0] > 0 && s[size] == '-'
	}
	if !ok {
		return SpanContext{}, fmt.Errorf("cannot parse traceparent %.80q: "+
			"want 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, lower case and not zero", s)
	}
	sc.Flags = flags[0] & Sampled
	return sc, nil
}

// unhex decodes lower-case digits only, as the standard asks.
func unhex(dst []byte, s string) bool {
	if strings.ContainsAny(s, "ABCDEF") {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}
