package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
)

// Log is where the log of a server is.
type Log struct {
	Server string // full name
	Dir    string
}

// FindLog returns the log of a server that runs, or that has run.
func FindLog(ctx context.Context, asked string) (log Log, found bool, err error) {
	h, err := home.Find()
	if err != nil {
		return Log{}, false, err
	}
	list, err := All(ctx)
	if err != nil {
		return Log{}, false, err
	}

	var id keeper.ID
	runs := len(Find(list, asked)) > 0
	if runs {
		p, err := Only(list, asked)
		if err != nil {
			return Log{}, false, err
		}
		id = p.ID
	} else if id, err = idOf(asked); err != nil {
		return Log{}, false, nil // it is the name of nothing
	}

	log = Log{Server: id.String(), Dir: h.Domain(id.Domain).Logs}
	if _, err := os.Stat(filepath.Join(log.Dir, id.Name+".log")); err != nil && !runs {
		if strings.Contains(asked, "@") {
			return Log{}, false, console.Failure("what runs: divisi ps", "there is no log of %v", id)
		}
		return Log{}, false, nil
	}
	return log, true, nil
}

// goneEvery is how often it is asked whether a server is still there.
const goneEvery = 300 * time.Millisecond

// Follow returns when nobody wants the server any more.
func (l Log) Follow(ctx context.Context) {
	tick := time.NewTicker(goneEvery)
	defer tick.Stop()
	for {
		list, err := All(ctx)
		if err != nil || len(Find(list, l.Server)) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
