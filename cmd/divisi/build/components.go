package build

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/codegen"
)

// A program is looked at in pieces, which overlap by the longest description of a component that
// there may be.
const (
	chunk   = 4 << 20
	overlap = codegen.MaxInfo
)

// Components returns the components that a program holds, sorted by name, without running it.
func Components(program string) ([]codegen.Info, error) {
	f, err := os.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, old, err := scan(f, make([]byte, chunk+overlap))
	if err != nil {
		return nil, fmt.Errorf("cannot read the components of %s: %w", program, err)
	}
	info, err := f.Stat()
	runs := err == nil && info.Mode()&0o111 != 0

	switch {
	case len(found) == 0 && old:
		return nil, &Error{
			Text: program + " was built with Service Weaver",
			Way: "change its import paths, run divisi generate, and build it again: " +
				"https://github.com/divisi-go/divisi/blob/main/docs/serviceweaver.md",
		}
	case len(found) == 0 && !runs:
		return nil, &Error{Text: program + " is no program", Way: what}
	case len(found) == 0:
		return nil, &Error{
			Text: program + " has no components",
			Way:  "is it an application? If so, run divisi generate and build it again",
		}
	case !runs:
		return nil, &Error{Text: program + " is a program that cannot be executed", Way: "run: chmod +x " + program}
	}

	return found, nil
}

// oldMark is a description in programs that were built with Service Weaver.
var oldMark = regexp.MustCompile(`⟦[0-9a-f]{8}:wEaVeR(eDgE|lIsTeNeRs):`)

// Components returns the components of the program that the package was built into.
func (p Package) Components(program string) ([]codegen.Info, error) {
	found, err := Components(program)
	if e, ok := errors.AsType[*Error](err); ok && e.Text == program+" has no components" {
		err = &Error{
			Text: fmt.Sprintf("%s has no components, or no code was generated for them", p),
			Way:  "run: divisi generate " + p.String(),
		}
	}
	return found, err
}

// scan finds components in pieces of the size of buf, and whether there are descriptions of Service
// Weaver's.
func scan(r io.ReaderAt, buf []byte) (found []codegen.Info, old bool, err error) {
	for offset := int64(0); ; offset += int64(len(buf) - overlap) {
		n, err := r.ReadAt(buf, offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, false, err
		}
		old = old || oldMark.Match(buf[:n])
		for _, info := range codegen.FindInfos(buf[:n]) {
			if !slices.ContainsFunc(found, func(i codegen.Info) bool { return i.Name == info.Name }) {
				found = append(found, info)
			}
		}
		if err != nil {
			break
		}
	}
	slices.SortFunc(found, func(a, b codegen.Info) int { return strings.Compare(a.Name, b.Name) })
	return found, old, nil
}
