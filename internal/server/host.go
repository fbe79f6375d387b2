package server

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
)

// Session is all that a program needs of a keeper.
type Session interface {
	Keeper
	Fenced(context.Context) error
	Release() error
	Signal(context.Context, keeper.ID, syscall.Signal) error
	Listen(context.Context, keeper.Socket) (keeper.Socket, error)
	Unlisten(ctx context.Context, domain, key string) error
	Sockets(ctx context.Context, domain string) ([]keeper.Socket, error)
	Spec(context.Context, keeper.ID) (keeper.Spec, error)
	Next(ctx context.Context, domain string, after uint64) ([]keeper.Event, error)
}

// Distant is a session of a keeper in another process, which may be away.
type Distant interface {
	// Answers returns once the keeper answers, or once it does not.
	Answers(ctx context.Context, wanted bool) error
}

// Host is what a host is to whoever decides what runs on it.
type Host struct {
	Keeper Session
	Logs   func(domain string) string // folder
	Data   string                     // folder of the data of its servers
	Desk   string                     // folder of what the operator of the program that decides has said; "" for none
	Door   string                     // socket at which that is operated; "" for none
	Home   home.Home                  // zero where it is simulated

	// Find finds a program by its path or its name; "" is the one that decides.
	Find func(word string) (Program, error)

	Artifacts artifact.Place // nil where there are none

	// Of another host than this machine; nil for this one.
	Files       Files
	Observer    Observer
	Environment func(own []string, user string) ([]string, error)
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
}

// OnHost returns a context in which a program runs on a host that somebody has opened, as package systemtest
// does, and opens none.
func OnHost(ctx context.Context, h *Host) context.Context {
	return context.WithValue(ctx, hostKey{}, h)
}

// Opened returns the host of [OnHost], nil if there is none.
func Opened(ctx context.Context) *Host {
	h, _ := ctx.Value(hostKey{}).(*Host)
	return h
}

// hostKey is the key of a host in a context.
type hostKey struct{}

// Program is a program that a host can run.
type Program struct {
	Path string
	Sum  string // of its content
	Kept bool   // it stays as it is as long as a server says that it needs it
}

// Log returns the file with what a server has said.
func (h *Host) Log(id keeper.ID) string { return filepath.Join(h.Logs(id.Domain), id.Name+".log") }

// The labels of servers that are programs of any kind.
const (
	LabelApp     = "app"     // the application of components that it is a replica of
	LabelReady   = "ready"   // how one sees that it is ready
	LabelProgram = "program" // for people
	LabelKept    = "kept"    // the path of a program that is kept by its content as long as it is needed
)

const maxShown = 200 // bytes

// Shown returns the program with its arguments, for people.
func Shown(s *keeper.Spec) string {
	text := strings.TrimSpace(strings.ToValidUTF8(filepath.Base(s.Path)+" "+strings.Join(s.Args, " "), "?"))
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return text
}
