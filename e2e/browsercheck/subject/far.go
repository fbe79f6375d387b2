package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/system"
)

// startFar starts a server on another host, which is a state folder of its own, in a folder.
func startFar(ctx context.Context, n *system.Nursery, dir string) error {
	h, err := system.Open(ctx, n, line{
		agent.Here{Called: "far", Env: []string{"DIVISI_HOME=" + filepath.Join(dir, "home"), "XDG_RUNTIME_DIR=" + dir}}, filepath.Join(dir, "cut"),
	})
	if err != nil {
		return err
	}
	_, err = h.Ensure(ctx, n, talk("quotes"))
	return err
}

// line is the way to a machine, which is cut while there is a file.
type line struct {
	agent.Here
	cut string
}

var errCut = errors.New("the line is cut")

// Run is that of the machine until the line is cut.
func (l line) Run(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	if l.isCut() {
		return errCut
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	go l.watch(ctx, end)
	return l.Here.Run(ctx, in, out, args...)
}

// Dial is that of the machine until the line is cut.
func (l line) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if l.isCut() {
		return nil, errCut
	}
	conn, err := l.Here.Dial(ctx, network, address)
	if err == nil {
		go l.watch(context.Background(), func() { conn.Close() }) // until the end of this process: there are few
	}
	return conn, err
}

func (l line) isCut() bool {
	_, err := os.Stat(l.cut)
	return err == nil
}

// watch calls a function when the line is cut, unless ctx ends before.
func (l line) watch(ctx context.Context, end func()) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !l.isCut() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	end()
}
