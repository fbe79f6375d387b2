package link

import (
	"net"
	"testing"

	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/wire"
)

// TestHandshakeBounds: until the preface has proved good, no more than its eight bytes are
// read, and only four of what is none.
func TestHandshakeBounds(t *testing.T) {
	o := Options{}.WithDefaults()
	for first, left := range map[string]int{"GET / HTTP/1.1\r\n": 12, "DVS1\x02\x00\x03\x00more": 4} {
		near, far := memnet.Pipe(1<<10, "a", "b")
		near.Write([]byte(first))
		if _, err := Welcome(far, &o); err == nil {
			t.Errorf("%q is Welcome", first)
		}
		if got := far.Unread(); got != left {
			t.Errorf("%q: %d bytes are left unread, want %d", first, got, left)
		}
	}
}

// FuzzHandshake lets both ends read anything instead of a handshake.
func FuzzHandshake(f *testing.F) {
	o := Options{}.WithDefaults()
	f.Add(o.hello().Append(wire.AppendPreface(nil, 1, 1)))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, handshake := range []func(net.Conn, *Options) (wire.Hello, error){Greet, Welcome} {
			near, far := memnet.Pipe(64<<10, "a", "b")
			near.Write(data)
			near.Close()
			h, err := handshake(&deafConn{far}, &o)
			if err == nil && (h.Window < wire.MinWindow || h.MaxInFlight == 0) {
				t.Fatalf("%x is accepted as %+v", data, h)
			}
		}
	})
}

// deafConn takes what is written and forgets it.
type deafConn struct{ net.Conn }

func (c *deafConn) Write(b []byte) (int, error) { return len(b), nil }
