// Package languages has the component libraries of three servers, which are written in C, Java and Python:
// a program of any language is started by a function in Go, and used by what that returns.
package languages

import (
	"context"
	_ "embed"

	"github.com/divisi-go/divisi/system"
)

// The programs are parts of this one, so there is one file to bring to a machine.
var (
	//go:embed programs/exampled.c
	exampledSource string
	//go:embed programs/Shout.java
	shoutSource []byte
	//go:embed programs/page.py
	pageSource []byte
)

// Exampled is an exampled that runs. It communicates only by creating files in its folder.
type Exampled struct {
	Dir system.Dir
}

// StartExampled starts an exampled, a program in C, in a folder.
func StartExampled(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir) (*Exampled, error) {
	program, err := compile(ctx, n, h, dir, exampledSource)
	if err != nil {
		return nil, err
	}
	_, err = h.Ensure(ctx, n, system.Spec{
		Name: "exampled", Program: program, Args: []any{"--verbose", "--do-stuff-fast"}, Dir: dir, Ready: "file:stuff",
	})
	return &Exampled{dir}, err
}

// compile makes a program of a source in C, and returns where it is.
func compile(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir, source string) (string, error) {
	if err := dir.WriteFile("source.c", []byte(source)); err != nil {
		return "", err
	}
	_, err := h.Run(ctx, n, system.Spec{Name: "compile", Program: "cc", Args: []any{"-o", "program", "source.c"}, Dir: dir})
	if err != nil {
		return "", err
	}
	return dir.File("program").On(h)
}

// Shout is a shout that runs. Whoever dials its socket is shouted at.
type Shout struct {
	Socket system.File
}

// StartShout starts a shout, a program in Java. It opens its socket itself, in a folder, for Java takes over
// no sockets; so it says when it is ready.
func StartShout(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir) (*Shout, error) {
	if err := dir.WriteFile("Shout.java", shoutSource); err != nil {
		return nil, err
	}
	_, err := h.Ensure(ctx, n, system.Spec{
		Name: "shout", Program: "java", Args: []any{"-Xshare:auto", "Shout.java"}, Dir: dir, Ready: "log:^serves$",
	})
	return &Shout{dir.File("socket")}, err
}

// Page is a page that runs.
type Page struct {
	URL string
}

// StartPage starts a page, a program in Python, at a listener that it inherits.
func StartPage(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir, l *system.Listener) (*Page, error) {
	if err := dir.WriteFile("page.py", pageSource); err != nil {
		return nil, err
	}
	_, err := h.Ensure(ctx, n, system.Spec{
		Name: "page", Program: "python3", Args: []any{"page.py"}, Dir: dir, Listeners: []*system.Listener{l}, Ready: "http:/",
	})
	return &Page{"http://" + l.Addr()}, err
}
