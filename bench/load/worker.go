package load

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"time"
)

// Patience is how long a process may take to start, or longer than it was told to measure.
const Patience = 30 * time.Second

// lastWork is how long a process may take to end.
const lastWork = 5 * time.Second

// Desk is where processes come for their orders.
type Desk struct {
	Dir      string // has the socket; its path is short, for paths of sockets are
	listener *net.UnixListener
}

// NewDesk opens the desk of a folder.
func NewDesk(dir string) (*Desk, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "control"), Net: "unix"})
	return &Desk{dir, l}, err
}

// Control is the path of the socket.
func (d *Desk) Control() string { return d.listener.Addr().String() }

// Close closes the desk. Workers stay until they are dismissed.
func (d *Desk) Close() error { return d.listener.Close() }

// Worker is a process that takes orders.
type Worker struct {
	Role string
	conn *net.UnixConn
	in   *json.Decoder
	out  *json.Encoder
}

// Hire waits for the next process that comes, as long as the context lives.
func (d *Desk) Hire(ctx context.Context) (*Worker, error) {
	if err := d.listener.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = d.listener.SetDeadline(time.Now()) })()
	conn, err := d.listener.AcceptUnix()
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}

	w := &Worker{conn: conn, in: json.NewDecoder(conn), out: json.NewEncoder(conn)}
	var hello Answer
	if err := w.in.Decode(&hello); err != nil {
		w.Dismiss()
		return nil, err
	}
	w.Role = hello.Role
	return w, nil
}

// Ask gives an order and returns the answer.
func (w *Worker) Ask(o Order) (a Answer, err error) {
	if err := w.conn.SetDeadline(time.Now().Add(o.Time + Patience)); err != nil {
		return a, err
	}
	if err := w.out.Encode(o); err != nil {
		return a, err
	}
	if err := w.in.Decode(&a); err != nil {
		return a, err
	}
	if a.Err != "" {
		return a, errors.New(a.Err)
	}
	return a, nil
}

// Conn is the connection to the process.
func (w *Worker) Conn() *net.UnixConn { return w.conn }

// Dismiss has the process end, and waits until it has, for it may have a profile to save.
func (w *Worker) Dismiss() {
	_ = w.conn.CloseWrite()
	_ = w.conn.SetReadDeadline(time.Now().Add(lastWork))
	_, _ = io.Copy(io.Discard, w.conn)
	w.conn.Close()
}
