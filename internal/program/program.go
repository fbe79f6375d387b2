// Package program has the programs of a state folder that are kept by their content, and knows which of them
// are needed, and what a file with a program is.
package program

import (
	"context"
	"errors"
	"time"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/roster"
	"github.com/divisi-go/divisi/internal/server"
)

// Store returns the programs of a state folder.
func Store(where home.Home) *artifact.Store {
	return artifact.NewStore(where.CAS(), func() ([]string, error) { return needed(where) })
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
