// Package library finds the dynamic libraries that a program needs, as the dynamic loader would, and runs nothing
// of the program for that.
package library

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// What can be in the way of finding libraries.
var (
	ErrFormat  = errors.New("it is no program of Linux: give the program itself, and not a script that runs it")
	ErrMissing = errors.New("it is in no folder where the loader looks: name its folder in LD_LIBRARY_PATH")
	ErrPath    = errors.New("it is needed by a path, and not by a name: link it by its name")
)

// Closure is what a program needs to be loaded.
type Closure struct {
	Loader    string            // the file of the dynamic loader; none if the program is linked statically
	Libraries map[string]string // the files of libraries, by the names by which they are asked for
}

// object is a program or library.
type object struct {
	file    string
	machine elf.Machine
	class   elf.Class
	loader  string
	needed  []string
	first   []string // folders to look in before all others, if it has no later
	later   []string // folders to look in after LD_LIBRARY_PATH
}

// search is one search for libraries.
type search struct {
	program object
	given   []string // folders before all others
	system  []string
}

// Find returns what a program needs. Libraries in the given folders come before all others of their name.
func Find(program string, given ...string) (Closure, error) {
	o, err := read(program)
	if err != nil {
		return Closure{}, err
	}
	c := Closure{Loader: o.loader, Libraries: map[string]string{}}
	if o.loader == "" && len(o.needed) == 0 {
		return c, nil
	}
	if o.loader == "" {
		return c, fmt.Errorf("%s is a library: %w", program, ErrFormat)
	}
	if c.Loader, err = filepath.EvalSymlinks(o.loader); err != nil {
		return c, fmt.Errorf("the loader of %s: %w", program, err)
	}

	s := search{program: o, given: given, system: systemFolders("/etc/ld.so.conf", 0)}
	for open := []object{o}; len(open) > 0; open = open[1:] {
		for _, name := range open[0].needed {
			if c.Libraries[name] != "" || name == filepath.Base(o.loader) {
				continue
			}
			found, err := s.find(name, open[0])
			if err != nil {
				return c, fmt.Errorf("%s needs the library %s: %w", open[0].file, name, err)
			}
			c.Libraries[name] = found.file
			open = append(open, found)
		}
	}
	return c, nil
}

// find looks for a library that an object needs.
func (s search) find(name string, by object) (object, error) {
	if strings.Contains(name, "/") {
		return object{}, ErrPath
	}
	var folders []string
	folders = append(folders, s.given...)
	if len(by.later) == 0 {
		folders = append(append(folders, by.first...), s.program.first...)
	}
	folders = append(folders, filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))...)
	folders = append(append(folders, by.later...), s.system...)
	for _, dir := range folders {
		if dir == "" {
			continue
		}
		o, err := read(filepath.Join(dir, name))
		if err == nil && o.machine == s.program.machine && o.class == s.program.class {
			o.file, err = filepath.EvalSymlinks(o.file)
			return o, err
		}
	}
	return object{}, ErrMissing
}

// read reads what a program or library asks of the loader.
func read(file string) (object, error) {
	f, err := elf.Open(file)
	if format := (*elf.FormatError)(nil); errors.As(err, &format) || errors.Is(err, io.EOF) {
		return object{}, fmt.Errorf("%s: %w", file, ErrFormat)
	}
	if err != nil {
		return object{}, err
	}
	defer f.Close()

	o := object{file: file, machine: f.Machine, class: f.Class}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			path, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if err != nil {
				return object{}, err
			}
			o.loader = strings.TrimRight(string(path), "\x00")
		}
	}
	// A program without these has none; what else is wrong with it, the loader would say.
	o.needed, _ = f.ImportedLibraries()
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return object{}, err
	}
	o.first = folders(f, elf.DT_RPATH, filepath.Dir(real))
	o.later = folders(f, elf.DT_RUNPATH, filepath.Dir(real))
	return o, nil
}

// folders returns the folders that an object names, where origin is its own.
func folders(f *elf.File, tag elf.DynTag, origin string) (all []string) {
	lists, _ := f.DynString(tag)
	for _, list := range lists {
		for _, dir := range filepath.SplitList(list) {
			all = append(all, strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin).Replace(dir))
		}
	}
	return all
}

// systemFolders returns the folders that a configuration of the loader names, and the ones that need no naming.
func systemFolders(config string, depth int) (dirs []string) {
	const maxDepth, maxSize = 8, 1 << 20
	f, err := os.Open(config)
	if err == nil && depth < maxDepth {
		text, _ := io.ReadAll(io.LimitReader(f, maxSize))
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			line = strings.TrimSpace(line)
			pattern, isInclude := strings.CutPrefix(line, "include ")
			if !isInclude {
				dirs = append(dirs, line)
				continue
			}
			if pattern = strings.TrimSpace(pattern); !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(config), pattern)
			}
			files, _ := filepath.Glob(pattern)
			for _, file := range files {
				dirs = append(dirs, systemFolders(file, depth+1)...)
			}
		}
		f.Close()
	}
	if depth == 0 {
		dirs = append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
	}
	return dirs
}

// machines are the names that Go has for the machines of ELF.
var machines = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm", elf.EM_RISCV: "riscv64",
	elf.EM_S390: "s390x", elf.EM_LOONGARCH: "loong64",
}

// System returns the system that a program of Linux runs on, such as linux/amd64, "" if nobody can tell.
func System(program string) string {
	f, err := elf.Open(program)
	if err != nil {
		return ""
	}
	defer f.Close()
	if machine := machines[f.Machine]; machine != "" {
		return "linux/" + machine
	}
	return ""
}
