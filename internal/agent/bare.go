package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Bare is a machine that may have no shell. What scripts do elsewhere it does by itself.
type Bare interface {
	Machine

	// Execute executes the program of a sum and a name as an agent, as the script enter does.
	Execute(ctx context.Context, in io.Reader, out io.Writer, sum, name string) error

	// Arrive takes the program of a sum, a name and a length, which keeps itself then, as the script arrive does.
	Arrive(ctx context.Context, in io.Reader, sum, name string, length int64) error
}

// Kept returns the program of a sum and a name in a state folder, and the variables by which it is an agent.
func Kept(state, sum, name string) (path string, env []string, err error) {
	path = filepath.Join(state, "cas", "sha256-"+filepath.Base(sum), filepath.Base(name))
	info, err := os.Stat(path)
	if err == nil && (info.Size() == 0 || info.Mode()&0o100 == 0) {
		err = fmt.Errorf("%s is no program", path)
	}
	return path, []string{Variable + "=" + sum}, err
}

// Receive writes the program of a sum, a name and a length into a state folder, and returns it with the variables by which it
// keeps itself. The file is removed then.
func Receive(state string, from io.Reader, sum, name, length string) (path string, env []string, err error) {
	folder := filepath.Join(state, "cas")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", nil, err
	}
	file, err := os.CreateTemp(folder, arriving)
	if err != nil {
		return "", nil, err
	}
	n, err := io.Copy(file, from)
	if err == nil && strconv.FormatInt(n, 10) != length {
		err = fmt.Errorf("the program has not arrived whole: %d bytes of %s", n, length)
	}
	if err = errors.Join(err, file.Chmod(0o500), file.Close()); err != nil {
		return "", nil, errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), []string{Variable + "=" + sum, keepVariable + "=" + filepath.Base(name)}, nil
}
