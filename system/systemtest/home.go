package systemtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// Home returns a folder of the test, in which programs that the test runs as processes have their state, as
// [system.Run] has it in that of the user. When the test ends, so does what they have left running. It sets
// variables of this process, so the test cannot run in parallel.
func Home(t testing.TB) string {
	t.Helper()
	dir := folder(t)
	t.Setenv("DIVISI_HOME", filepath.Join(dir, "state"))
	t.Setenv("XDG_RUNTIME_DIR", dir)
	state, err := home.Find()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		client, err := door.Find(ctx, state)
		if errors.Is(err, door.ErrNone) {
			return
		}
		if err == nil {
			err = client.Shutdown(ctx)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return dir
}

// shutdownTime bounds how long a keeper may take to end, with all that it holds.
const shutdownTime = time.Minute

// folder returns a temporary folder: the path of a socket in that of a test may be too long.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "system")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
