package agent

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/program"
)

// build is a build of this program, as machines get it.
type build struct{ file, name, sum, system string }

// readSelf returns the build that runs here, which does not change.
var readSelf = sync.OnceValues(func() (*build, error) {
	sum, err := artifact.Sum(program.Running)
	if err != nil {
		return nil, err
	}
	path, err := os.Executable()
	return &build{program.Running, nameOf(strings.TrimSuffix(filepath.Base(path), " (deleted)")), sum, program.Here}, err
})

// architectures are those that go by another name in uname.
var architectures = map[string]string{
	"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i486": "386", "i586": "386", "i686": "386",
	"armv6l": "arm", "armv7l": "arm", "loongarch64": "loong64",
}

// systemOf returns the system of a machine by what uname says of it.
func systemOf(uname string) string {
	system, machine, _ := strings.Cut(uname, " ")
	if arch := architectures[machine]; arch != "" {
		machine = arch
	}
	return strings.ToLower(system) + "/" + machine
}

// known are the systems that uname has a name of its own for, or the same as Go.
var known = []string{"amd64", "arm64", "386", "arm", "loong64", "riscv64", "ppc64le", "s390x"}

// fit returns the build for a machine, by what uname says of it. Those for other systems are in a folder, such as
// orderd-linux-arm64; "" is that of this program.
func (b *build) fit(uname, folder string) (*build, error) {
	want := systemOf(uname)
	if want == b.system || want == program.Here && !slices.Contains(known, runtime.GOARCH) {
		return b, nil
	}
	self, err := readSelf()
	if err != nil || want == self.system {
		return self, err
	}
	if folder == "" {
		path, err := os.Executable()
		if err != nil {
			return nil, err
		}
		folder = filepath.Dir(path)
	}
	goos, goarch, _ := strings.Cut(want, "/")
	file := filepath.Join(folder, nameOf(self.name+"-"+goos+"-"+goarch))
	advice := fmt.Sprintf("build it with GOOS=%s GOARCH=%s go build -o %s", goos, goarch, file)

	switch built, err := buildinfo.ReadFile(file); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("it is %s, and this program was built for %s: %s", want, self.system, advice)
	case err != nil:
		return nil, fmt.Errorf("%s is no program for %s: %w: %s", file, want, err, advice)
	case program.Built(file) != want:
		return nil, fmt.Errorf("%s was built for %s, and not for %s: %s", file, program.Built(file), want, advice)
	case !isOf(built.Path):
		return nil, fmt.Errorf("%s is another program, %s: %s", file, built.Path, advice)
	}
	sum, err := artifact.Sum(file)
	return &build{file, self.name, sum, want}, err
}

// isOf reports whether this program was built from a package, as far as anybody can tell.
func isOf(path string) bool {
	own, err := buildinfo.ReadFile(program.Running)
	return err != nil || own.Path == path || strings.TrimSuffix(own.Path, ".test") == path
}

// nameOf returns what a program is called on other machines, in letters that mean nothing to a shell.
func nameOf(base string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return r
		}
		return '_'
	}, base)
}
