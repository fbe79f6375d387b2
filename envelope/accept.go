package envelope

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/message"
	"github.com/divisi-go/divisi/internal/pipe"
	"github.com/divisi-go/divisi/internal/proc"
)

// ErrRefused is the error of a handshake that the weavelet refuses. It says why: the deployer has been
// succeeded by one with a larger EnvelopeInfo.Epoch, or takes the weavelet for another one.
var ErrRefused = pipe.ErrRefused

// Accept returns an envelope for a weavelet that has dialled: one that was started with the address of a
// Unix socket in DIVISI_ENVELOPE, in the place of pipes. It is given the number of the process, as the
// kernel knows it, or 0 if that is not known, and returns what the weavelet is to be; an error turns it
// away, and it dials again. EnvelopeInfo.Features must not be empty. To a weavelet that has conversed
// with another deployer, application, deployment and id may be left out, and WeaveletInfo has them, and
// what else there is to know.
//
// When the conversation is over, the weavelet may live on, and dials again; who has started it judges
// its death. It also dials again when it has heard nothing for five seconds: ask for its health once a
// second.
func Accept(ctx context.Context, conn net.Conn, who func(pid int) (*protos.EnvelopeInfo, error)) (*Envelope, error) {
	e := newEnvelope(ctx)
	e.dialled = true
	if unix, ok := conn.(syscall.Conn); ok {
		e.pid, _ = proc.Peer(unix) // it is not known of other sockets
	}

	info, err := who(e.pid)
	if err != nil {
		conn.SetWriteDeadline(time.Now().Add(lastWords))
		told := message.Write(conn, &message.EnvelopeMsg{Error: err.Error()})
		return nil, errors.Join(err, told, conn.Close())
	}
	if err := e.attach(io.NopCloser(conn), conn, info); err != nil {
		return nil, err
	}
	return e, nil
}
