package build

import (
	"errors"
	"fmt"
	"os"

	"github.com/divisi-go/divisi/codegen"
	stored "github.com/divisi-go/divisi/internal/program"
)

// Components returns the components that a program holds, sorted by name, without running it.
func Components(program string) ([]codegen.Info, error) {
	found, old, err := stored.Components(program)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(program)
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
