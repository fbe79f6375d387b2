package link

import (
	"cmp"
	"time"

	"github.com/divisi-go/divisi/internal/wire"
)

// CallBits is how many bits of a call's number tell the calls in flight on a connection from each
// other.
const CallBits = 20

// Options are the bounds of one connection. The zero value is the default.
type Options struct {
	// Deployment is the version of the application that this process is of. A peer that says
	// another one is refused. Default "", which goes with any.
	Deployment string
	Weavelet   string // names the process to the peer; default ""

	MaxMessage  int // longest message that is taken from the peer; default 100 MiB
	MaxInFlight int // most calls on a connection; the caller keeps to the lower of both ends' limits; default 1024
	Window      int // bytes of chunks and elements taken before giving credit; default 4 MiB, least 131,232
	CallWindow  int // the same for one stream or message; default 256 KiB, least 131,232
	MaxQueue    int // bytes of frames waiting to be written; default 4 MiB

	// WriteTimeout is how long the peer may take nothing of what is written before the
	// connection is closed; found out at most PingAfter later. Default 10 s.
	WriteTimeout time.Duration
	// HandshakeTimeout bounds everything from the accepted (or dialled) connection to the
	// peer's HELLO: TLS, preface, HELLO. Default 10 s.
	HandshakeTimeout time.Duration
	// PingAfter is the silence, while calls are in flight, after which the peer is asked for
	// a sign of life; PingIdle the same while none are. Defaults 2 s and 60 s.
	PingAfter, PingIdle time.Duration
	// PingTimeout is how long the peer may take to show one. A peer with calls in flight
	// that stops answering is dropped within 1.5 PingAfter + PingTimeout after the last byte
	// it sent. Default 8 s.
	PingTimeout time.Duration
}

// WithDefaults returns o with every zero replaced and every value possible on the wire.
func (o Options) WithDefaults() Options {
	const most = 1<<31 - 1
	o.MaxMessage = cmp.Or(o.MaxMessage, wire.DefaultMaxMessage)
	o.MaxInFlight = min(cmp.Or(o.MaxInFlight, wire.DefaultMaxInFlight), 1<<CallBits-1)
	o.Window = min(max(cmp.Or(o.Window, wire.DefaultWindow), wire.MinWindow), most)
	o.CallWindow = min(max(cmp.Or(o.CallWindow, wire.DefaultCallWindow), wire.MinWindow), most)
	o.MaxQueue = cmp.Or(o.MaxQueue, 4<<20)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, 10*time.Second)
	o.PingAfter = cmp.Or(o.PingAfter, 2*time.Second)
	o.PingIdle = cmp.Or(o.PingIdle, time.Minute)
	o.PingTimeout = cmp.Or(o.PingTimeout, 8*time.Second)
	return o
}

func (o *Options) hello() wire.Hello {
	return wire.Hello{
		Deployment: o.Deployment, Weavelet: o.Weavelet, MaxMessage: uint64(o.MaxMessage), MaxInFlight: uint32(o.MaxInFlight),
		Window: uint32(o.Window), CallWindow: uint32(o.CallWindow),
	}
}
