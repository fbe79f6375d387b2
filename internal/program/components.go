package program

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

// Components returns the components that a program holds, sorted by name, without running it, and whether it
// has descriptions of Service Weaver's.
func Components(file string) (found []codegen.Info, old bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	found, old, err = scan(f, make([]byte, chunk+overlap))
	if err != nil {
		return nil, false, fmt.Errorf("cannot read the components of %s: %w", file, err)
	}
	return found, old, nil
}

// oldMark is a description in programs that were built with Service Weaver.
var oldMark = regexp.MustCompile(`⟦[0-9a-f]{8}:wEaVeR(eDgE|lIsTeNeRs):`)

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
