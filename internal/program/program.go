// Package program has the programs of a state folder that are kept by their content, and what was pushed for its ensembles;
// it knows which of them are needed, and what a file with a program is.
package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/roster"
	"github.com/divisi-go/divisi/internal/server"
)

// Store returns the programs of a state folder.
func Store(where home.Home) *artifact.Store {
	var s *artifact.Store
	s = artifact.NewStore(where.CAS(), func() ([]string, error) {
		programs, err := needed(where)
		if err != nil {
			return nil, err
		}
		sums, err := pushed(where)
		for _, sum := range sums {
			programs = append(programs, s.Path(sum))
		}
		return programs, err
	})
	return s
}

// pushed returns the sums of what was pushed for ensembles, and is so in one of their revisions.
func pushed(where home.Home) (sums []string, err error) {
	domains, err := where.Ensembles()
	if err != nil {
		return nil, err
	}
	for _, domain := range domains {
		files, err := filepath.Glob(filepath.Join(where.Domain(domain).Ensemble, "*.json"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue // the oldest one, which was removed meanwhile
			}
			var said ensemble.Said
			if err == nil {
				err = json.Unmarshal(text, &said)
			}
			if err != nil {
				return nil, fmt.Errorf("cannot read %s: %w", file, err)
			}
			sums = slices.AppendSeq(sums, maps.Values(said.Content))
		}
	}
	return sums, nil
}

// needed returns the programs that the keeper may start again: those of its servers that say so, and those of
// versions that have a record. Where the keeper has nothing, a record means nothing any more: whoever was about
// to begin there was killed, or everything has ended while nobody decided.
func needed(where home.Home) (paths []string, err error) {
	servers, err := held(where)
	if err != nil {
		return nil, err
	}
	live := map[string]bool{}
	for _, s := range servers {
		live[s.Domain] = true
		if path := s.Labels[server.LabelKept]; path != "" {
			paths = append(paths, path)
		}
	}

	domains, err := where.Domains()
	if err != nil {
		return nil, err
	}
	for _, domain := range domains {
		if !live[domain] {
			continue
		}
		records, err := roster.Read(where.Domain(domain).Versions)
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			paths = append(paths, record.Binary)
		}
	}
	return paths, nil
}

// askTime bounds the wait for the keeper.
const askTime = 5 * time.Second

// held returns the servers that the keeper has, whether they run or not.
func held(where home.Home) ([]keeper.Proc, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	client, err := door.Find(ctx, where)
	if errors.Is(err, door.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer client.Release()
	return client.List(ctx, "/")
}
