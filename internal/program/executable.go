package program

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/server"
)

// Explain says of a program that cannot be executed for which system it was built.
func Explain(path string, err error) error {
	if !errors.Is(err, syscall.ENOEXEC) {
		return err
	}
	what := "no program of any system; the first line of a script says what runs it, as #!/bin/sh does"
	if built := Built(path); built != "" {
		what = "built for " + built
	}
	return fmt.Errorf("%w: this host is %s, and %s is %s", err, Here, path, what)
}

// Here is this system.
const Here = runtime.GOOS + "/" + runtime.GOARCH

// Built returns the system that a program was built for, "" if nobody can tell.
func Built(path string) string {
	if info, err := buildinfo.ReadFile(path); err == nil {
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if settings["GOOS"] != "" {
			return settings["GOOS"] + "/" + settings["GOARCH"]
		}
	}
	if f, err := elf.Open(path); err == nil {
		defer f.Close()
		return strings.ToLower(strings.TrimPrefix(f.Machine.String(), "EM_"))
	}
	return ""
}

// Finds returns how programs are found: by path, or as a shell finds them. This program is kept by its content,
// once: what runs it stays the same, whatever becomes of its file.
func Finds(programs *artifact.Store) func(word string) (server.Program, error) {
	self := sync.OnceValues(func() (*artifact.Program, error) {
		file, err := os.Executable()
		if err != nil {
			return nil, err
		}
		base := strings.TrimSuffix(filepath.Base(file), " (deleted)")
		if _, err := os.Stat(Running); err == nil {
			file = Running
		}
		return programs.CopyAs(base, file)
	})
	return func(word string) (server.Program, error) {
		if word != "" {
			p, err := server.Find(word)
			if what, ok := programs.Holds(p.Path); ok {
				p.Sum, p.Kept = what, true
			}
			return p, err
		}
		p, err := self() // which is locked until this process ends
		if err != nil {
			return server.Program{}, err
		}
		sum, err := artifact.Sum(p.Path)
		return server.Program{Path: p.Path, Sum: sum, Kept: true}, err
	}
}

// Running is the program of this process, also when its file was replaced or removed.
const Running = "/proc/self/exe"
