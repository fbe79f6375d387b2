package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/divisi-go/divisi/system"
)

// Postgres is a Postgres that runs.
type Postgres struct {
	Source string // for database/sql
}

// StartPostgres starts the Postgres of Debian in a folder, with a cluster that is made if there is none. It
// is reached by a socket in the folder alone. Settings are such as "max_connections=50"; when they change,
// it is restarted.
func StartPostgres(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir, settings ...string) (*Postgres, error) {
	path, err := dir.On(h)
	if err != nil {
		return nil, err
	}
	bin, err := programs()
	if err != nil {
		return nil, err
	}

	// Postgres refuses to be run by root, and Debian has made somebody for it.
	user := ""
	if os.Getuid() == 0 {
		user = "postgres"
		if _, err := h.Run(ctx, n, system.Spec{Name: "chown", Program: "chown", Args: []any{user, dir}}); err != nil {
			return nil, err
		}
	}
	if _, err := dir.Stat("data"); errors.Is(err, fs.ErrNotExist) {
		initdb := fmt.Sprintf("rm -rf part && %s/initdb -D part -A trust -U postgres && mv part data", bin)
		_, err := h.Run(ctx, n, system.Spec{Name: "initdb", Program: "sh", Args: []any{"-c", initdb}, Dir: dir, User: user})
		if err != nil {
			return nil, err
		}
	}

	args := []any{"-D", "data", "-k", dir, "-c", "listen_addresses="}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	_, err = h.Ensure(ctx, n, system.Spec{
		Name: "postgres", Program: filepath.Join(bin, "postgres"), Args: args, Dir: dir, User: user,
		Ready: fmt.Sprintf("exec:%s/pg_isready -q -h %s", bin, path),
		Stop:  syscall.SIGINT, // by SIGTERM it waits for its clients
	})
	return &Postgres{fmt.Sprintf("host=%s user=postgres dbname=postgres sslmode=disable", path)}, err
}

// programs returns where Debian has the programs of Postgres.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err == nil && len(found) == 0 {
		err = errors.New("Postgres is not installed: apt install postgresql")
	}
	if err != nil {
		return "", err
	}
	return found[len(found)-1], nil
}
