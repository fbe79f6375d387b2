package link

import (
	"fmt"
	"io"
	"net"

	"github.com/divisi-go/divisi/internal/wire"
)

// The caller of both handshakes has set a deadline on the connection.

// Greet is the dialler's handshake: it sends preface and HELLO at once and reads the answers.
func Greet(nc net.Conn, o *Options) (wire.Hello, error) {
	b := wire.AppendPreface(nil, wire.Version, wire.Version)
	if _, err := nc.Write(o.hello().Append(b)); err != nil {
		return wire.Hello{}, err
	}
	lowest, highest, err := readPreface(nc)
	if err != nil {
		return wire.Hello{}, err
	}
	if lowest != wire.Version || highest != wire.Version {
		return wire.Hello{}, fmt.Errorf("the peer chose version %d to %d of the protocol, not %d", lowest, highest, wire.Version)
	}
	return o.meet(nc)
}

// Welcome is the acceptor's handshake. Until the preface has proved good it reads no more than
// that and allocates nothing else.
func Welcome(nc net.Conn, o *Options) (wire.Hello, error) {
	lowest, highest, err := readPreface(nc)
	if err != nil {
		return wire.Hello{}, err
	}
	if wire.Version < lowest || wire.Version > highest {
		return wire.Hello{}, fmt.Errorf("the peer speaks versions %d to %d of the protocol, not %d", lowest, highest, wire.Version)
	}
	b := wire.AppendPreface(nil, wire.Version, wire.Version)
	if _, err := nc.Write(o.hello().Append(b)); err != nil {
		return wire.Hello{}, err
	}
	return o.meet(nc)
}

func readPreface(nc net.Conn) (lowest, highest uint16, err error) {
	var b [wire.PrefaceSize]byte
	if _, err := io.ReadFull(nc, b[:wire.MagicSize]); err != nil {
		return 0, 0, fmt.Errorf("no preface: %w", err)
	}
	if err := wire.CheckMagic(b[:]); err != nil {
		return 0, 0, err
	}
	if _, err := io.ReadFull(nc, b[wire.MagicSize:]); err != nil {
		return 0, 0, fmt.Errorf("no preface: %w", err)
	}
	return wire.ParsePreface(b[:])
}

// OtherDeployment is the error of a handshake with a process of another deployment.
type OtherDeployment struct {
	Weavelet     string // the peer, as it says itself
	Theirs, Ours string // deployments
}

func (e *OtherDeployment) Error() string {
	return fmt.Sprintf("the peer %q is of deployment %s, and this process of %s: "+
		"versions of an application do not call each other", e.Weavelet, e.Theirs, e.Ours)
}

// meet reads the HELLO of a peer, and refuses one of another deployment: that of a process
// which has got the address of one that ended, for instance.
func (o *Options) meet(nc net.Conn) (wire.Hello, error) {
	h, err := readHello(nc)
	if err != nil {
		return h, err
	}
	if o.Deployment != "" && h.Deployment != "" && o.Deployment != h.Deployment {
		return h, &OtherDeployment{h.Weavelet, h.Deployment, o.Deployment}
	}
	return h, nil
}

// readHello reads exactly the HELLO: what follows it is the connection's reader's.
func readHello(nc net.Conn) (wire.Hello, error) {
	var b [wire.HeaderSize]byte
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		return wire.Hello{}, fmt.Errorf("no HELLO: %w", err)
	}
	h, err := wire.ParseHeader(b[:])
	if err != nil {
		return wire.Hello{}, err
	}
	if h.Type != wire.TypeHello {
		return wire.Hello{}, wire.Violation(fmt.Sprintf("%s before HELLO", h.Type))
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(nc, body); err != nil {
		return wire.Hello{}, fmt.Errorf("no HELLO: %w", err)
	}
	return wire.ParseHello(body)
}
