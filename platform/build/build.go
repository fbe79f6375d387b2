// Package build makes programs out of packages, and reads from a program what components it has.
package build

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/codegen"
)

// Package builds the main package in a folder into a file below dir, and returns the file. What
// the compiler prints is in the error.
func Package(ctx context.Context, folder, dir string) (string, error) {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return "", errors.New("cannot build: the go command is not on the PATH: " +
			"install Go 1.26 or later from https://go.dev/dl/, or give a program that is built already")
	}
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	output := filepath.Join(dir, filepath.Base(absolute))
	cmd := exec.CommandContext(ctx, compiler, "build", "-o", output, ".")
	cmd.Dir = absolute
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	if err := cmd.Run(); err != nil {
		return "", explain(folder, strings.TrimSpace(printed.String()), err)
	}
	return output, nil
}

// explain adds the way out to what the compiler said.
func explain(folder, printed string, err error) error {
	hint := ""
	switch {
	case strings.Contains(printed, "run_divisi_generate"):
		hint = "\nthe generated code is stale: run \"divisi generate " + folder + "\""
	case strings.Contains(printed, "requires go >="):
		hint = "\ninstall a newer Go from https://go.dev/dl/"
	}
	return fmt.Errorf("cannot build %s:\n%s%s", folder, cmp.Or(printed, err.Error()), hint)
}

// chunk is how much of a program is looked at in one piece; pieces overlap by the longest
// description that there may be.
const (
	chunk   = 4 << 20
	overlap = 64 << 10
)

// Components returns the components that a program holds, sorted by name, without running it.
func Components(program string) ([]codegen.Info, error) {
	f, err := os.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []codegen.Info
	buf := make([]byte, chunk+overlap)
	for offset := int64(0); ; offset += chunk {
		n, err := f.ReadAt(buf, offset)
		for _, info := range codegen.FindInfos(buf[:n]) {
			if !slices.ContainsFunc(found, func(i codegen.Info) bool { return i.Name == info.Name }) {
				found = append(found, info)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b codegen.Info) int { return strings.Compare(a.Name, b.Name) })
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no components: it is no application, or divisi generate was "+
			"not run before it was built", program)
	}
	return found, nil
}
