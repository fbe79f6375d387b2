package build

import (
	"errors"
	"fmt"
	"io"
	"os"
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
	found, err := scan(f, make([]byte, chunk+overlap))
	if err != nil {
		return nil, fmt.Errorf("cannot read the components of %s: %w", program, err)
	}
	if len(found) == 0 {
		return nil, &Error{
			Text: program + " has no components",
			Way:  "is it an application? If so, run divisi generate and build it again",
		}
	}
	return found, nil
}

// Components returns the components of the program that the package was built into.
func (p Package) Components(program string) ([]codegen.Info, error) {
	found, err := Components(program)
	if _, ok := errors.AsType[*Error](err); ok {
		err = &Error{
			Text: fmt.Sprintf("%s has no components, or no code was generated for them", p),
			Way:  "run: divisi generate " + p.String(),
		}
	}
	return found, err
}

// scan finds components in pieces of the size of buf.
func scan(r io.ReaderAt, buf []byte) ([]codegen.Info, error) {
	var found []codegen.Info
	for offset := int64(0); ; offset += int64(len(buf) - overlap) {
		n, err := r.ReadAt(buf, offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
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
	return found, nil
}
