package main

import (
	"context"
	"encoding/binary"
	"io"
	"net"

	"github.com/divisi-go/divisi/bench/load"
)

// serveRaw sends back what comes: four bytes of length, and as many bytes.
func serveRaw(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			var buf []byte
			for {
				var err error
				if buf, err = readRaw(conn, buf); err != nil {
					return
				}
				if _, err := conn.Write(buf); err != nil {
					return
				}
			}
		}()
	}
}

// connectRaw returns callers with a connection each.
func connectRaw(e endpoint) (func() (load.Caller, error), error) {
	return func() (load.Caller, error) {
		conn, err := e.dial(context.Background())
		if err != nil {
			return nil, err
		}
		var request, buf []byte
		bounded := false // the connection has a deadline
		return func(ctx context.Context, p load.Payload) error {
			if deadline, ok := ctx.Deadline(); ok || bounded {
				bounded = ok
				if err := conn.SetDeadline(deadline); err != nil {
					return err
				}
			}
			if len(request) != 4+p.Size() {
				request = append(make([]byte, 4), p.Bytes()...)
			}
			binary.LittleEndian.PutUint32(request, uint32(p.Size()))
			if _, err := conn.Write(request); err != nil {
				return err
			}
			buf, err = readRaw(conn, buf)
			return err
		}, nil
	}, nil
}

// readRaw reads a length and as many bytes into buf, which grows if need be. Both in one read, where
// they come together.
func readRaw(conn net.Conn, buf []byte) ([]byte, error) {
	if buf = buf[:cap(buf)]; len(buf) < 4096 {
		buf = make([]byte, 4096)
	}
	n, err := io.ReadAtLeast(conn, buf, 4)
	if err != nil {
		return buf, err
	}
	size := 4 + int(binary.LittleEndian.Uint32(buf))
	if size > len(buf) {
		buf = append(buf, make([]byte, size-len(buf))...)
	}
	if n < size {
		_, err = io.ReadFull(conn, buf[n:size])
	}
	return buf[:size], err
}
