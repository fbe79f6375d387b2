package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/roster"
)

// openStore returns the programs of a state folder, without old ones that nobody needs.
func openStore(where home.Home, view View) (*artifact.Store, error) {
	if err := where.Make(); err != nil {
		return nil, err
	}
	programs := artifact.NewStore(where.CAS(), func() ([]string, error) { return needed(where) })
	cleanPrograms(programs, view)
	return programs, nil
}

// cleanPrograms removes programs that nobody needs: they only take space.
func cleanPrograms(programs *artifact.Store, view View) {
	if err := programs.Clean(); err != nil {
		view.Warn(fmt.Sprintf("old programs are not removed: %v", err))
	}
}

// needed returns the programs of versions that have a record, and with it processes that run or start again.
// Where the keeper has nothing, no record means that any more: whoever was about to begin there was killed, or
// everything has ended while nobody decided.
func needed(where home.Home) (paths []string, err error) {
	domains, err := where.Domains()
	if err != nil || len(domains) == 0 {
		return nil, err
	}
	live, err := populated(where)
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

// populated returns the domains in which the keeper has servers, whether they run or not.
func populated(where home.Home) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	keeper, err := door.Find(ctx, where)
	if errors.Is(err, door.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer keeper.Release()

	servers, err := keeper.List(ctx, "")
	if err != nil {
		return nil, err
	}
	domains := map[string]bool{}
	for _, s := range servers {
		domains[s.Domain] = true
	}
	return domains, nil
}
