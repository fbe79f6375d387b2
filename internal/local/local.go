// Package local is the host that a program runs on: this machine, as its user has it, with the keeper of a state
// folder and the programs that are kept there.
package local

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/program"
	"github.com/divisi-go/divisi/internal/server"
)

// attachTime bounds how long it takes to have the keeper, and the domain.
const attachTime = 30 * time.Second

// Open returns the host for the program of a domain, which this process decides about from then on. The name is
// that of the program, for people.
func Open(ctx context.Context, name, domain string, log *slog.Logger) (*server.Host, error) {
	state, err := home.Find()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	who := fmt.Sprintf("%s (process %d)", name, os.Getpid())
	client, err := door.Attach(ctx, state, keeper.Claim{Domain: domain, Who: who, Take: true})
	if err != nil {
		return nil, err
	}

	programs := program.Store(state)
	if err := programs.Clean(); err != nil {
		log.Warn("old programs are not removed", "why", err)
	}
	d := state.Domain(domain)
	return &server.Host{
		Keeper: client, Find: program.Finds(programs), Artifacts: programs, Data: d.Data, Desk: d.Desk, Door: d.Door, Home: state,
		Logs: func(domain string) string { return state.Domain(domain).Logs },
	}, nil
}
