package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/program"
)

// folder is the beginning of scripts: it finds the state folder as package home does.
const folder = `umask 077
d=${DIVISI_HOME:-${XDG_STATE_HOME:-$HOME/.local/state}/divisi}
`

// enter executes the program of a sum and a name, or says that the machine does not have it, and what machine it is.
const enter = folder + `p=$d/cas/sha256-$1/$2
[ -x "$p" ] && [ -s "$p" ] && exec env ` + Variable + `="$1" "$p"
echo "{\"missing\":\"$(uname -s) $(uname -m)\"}"`

// arrive takes the program of a sum, a name and a length, which keeps itself once it is there whole.
const arrive = folder + `set -e
mkdir -p "$d/cas"
t=$d/cas/` + arriving + `$4
trap 'rm -f "$t"' EXIT
cat > "$t"
[ "$(wc -c < "$t")" -eq "$3" ] || { echo "the program has not arrived whole" >&2; exit 1; }
chmod 500 "$t"
` + Variable + `="$1" ` + keepVariable + `="$2" "$t"`

// self is the program of this process, as machines get it.
type self struct{ name, sum string }

// readSelf returns the program of this process, which does not change.
var readSelf = sync.OnceValues(func() (*self, error) {
	sum, err := artifact.Sum(program.Running)
	if err != nil {
		return nil, err
	}
	path, err := os.Executable()
	return &self{nameOf(strings.TrimSuffix(filepath.Base(path), " (deleted)")), sum}, err
})

// machines are the names that uname has for architectures.
var machines = map[string]string{
	"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x", "loong64": "loongarch64",
}

// fits says why the program cannot run on a machine, which is what uname says of it.
func (s *self) fits(uname string) error {
	system, machine, _ := strings.Cut(uname, " ")
	want, known := machines[runtime.GOARCH]
	if !strings.EqualFold(system, runtime.GOOS) || known && machine != want {
		return fmt.Errorf("it is %s, and this program was built for %s: build it for that", uname, program.Here)
	}
	return nil
}

// bring sends this program to the machine.
func (c *Client) bring(ctx context.Context) error {
	f, err := os.Open(program.Running)
	if err != nil {
		return err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return err
	}
	if bare, ok := c.machine.(Bare); ok {
		err = bare.Arrive(ctx, f, c.self.sum, c.self.name, i.Size())
	} else {
		err = c.machine.Run(ctx, f, io.Discard, "sh", "-c", arrive, "divisi",
			c.self.sum, c.self.name, strconv.FormatInt(i.Size(), 10), rand.Text())
	}
	if err != nil {
		return errors.Join(context.Cause(ctx), fmt.Errorf("cannot bring the program there: %w", err))
	}
	return nil
}
