package load

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/tools/go/packages"
)

// found are the errors of a package that are its author's and matter.
type found struct {
	syntax Errors
	types  Errors
	other  Errors // because of which there are no types
}

// problems returns the errors of a package. It leaves out an error that says no more than that a name
// of the blanked generated file is missing, and an error that leaves the types whole, as that of an
// embedded file that is missing.
func problems(p *packages.Package, b *blanks, all map[string]*packages.Package) found {
	var f found
	for _, err := range p.TypeErrors {
		name, undefined := strings.CutPrefix(err.Msg, "undefined: ")
		if undefined && b.declared[p.PkgPath][name] {
			continue
		}

		text := err.Msg
		// What the go command says about an import is better than what the type checker does.
		if rest, ok := strings.CutPrefix(text, "could not import "); ok {
			path, _, _ := strings.Cut(rest, " ")
			if dep := all[path]; dep != nil && len(dep.Errors) > 0 {
				text = dep.Errors[0].Msg
			}
		}
		f.types = append(f.types, fmt.Errorf("%s: %s", Position(err.Fset, err.Pos), text))
	}

	files := map[string]bool{}
	for _, err := range p.Errors {
		text := err.Msg
		if err.Pos != "" && err.Pos != "-" {
			text = Relative(err.Pos) + ": " + text
		}
		file, _, _ := strings.Cut(err.Pos, ":")
		switch {
		case err.Kind == packages.ParseError:
			if !files[file] { // the others of a file mostly follow from its first
				f.syntax = append(f.syntax, errors.New(text))
			}
			files[file] = true
		case err.Kind != packages.TypeError && (p.Types == nil || len(p.Syntax) == 0):
			f.other = append(f.other, errors.New(text))
		}
	}
	return f
}
