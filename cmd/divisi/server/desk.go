// Package server is any program as a server of the keeper: what a command line says of it, how it is
// started, restarted and stopped, and what is shown of it.
package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// Domain is the domain of servers that are started without one.
const Domain = "/local"

// Desk is where one command asks the keeper. It looks all the time, and has a domain only for the moment
// of a change.
type Desk struct {
	*door.Client // looks
	home         home.Home
	who          string // for others, while it has a domain
}

// Open returns the desk of a command, such as "divisi stop web". Unless it begins a keeper, the error is
// [door.ErrNone] if there is none.
func Open(ctx context.Context, command string, begin bool) (*Desk, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	d := &Desk{home: h, who: fmt.Sprintf("%s (process %d)", command, os.Getpid())}
	if begin {
		d.Client, err = door.Attach(ctx, h, keeper.Claim{Who: d.who})
	} else {
		d.Client, err = door.Find(ctx, h)
	}
	if err != nil {
		return nil, err
	}

	return d, nil
}

// able says why nothing can be started now.
func (d *Desk) able(ctx context.Context) error {
	info, err := d.Info(ctx)
	if err == nil && info.Trouble != "" {
		err = errors.New(info.Trouble)
	}
	return err
}

// Warn says what is wrong with the keeper, if there is one.
func Warn(ctx context.Context, c *console.Console) {
	d, err := Open(ctx, "divisi", false)
	if err != nil {
		return
	}
	defer d.close()
	if err := d.able(ctx); err != nil {
		fmt.Fprintf(c.Err, "divisi: warning: the keeper refuses what is to last: %v\n", err)
	}
}

// close ends the session. What it has begun goes on.
func (d *Desk) close() { _ = d.Release() }

// holdTime is how long to wait for others who change something in the same domain: a start or a restart
// is over by then, an application has it for as long as it runs.
const holdTime = 5 * time.Second

// change has the domain while f runs.
func (d *Desk) change(ctx context.Context, domain string, f func(*door.Client) error) error {
	limited, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	client, err := door.Attach(limited, d.home, keeper.Claim{Domain: domain, Who: d.who})
	if errors.Is(err, keeper.ErrHeld) {
		return &console.Error{Code: console.Failed, Err: err,
			Way: "wait for that one or stop it, or use another domain, as in NAME@/other"}
	}
	if err != nil {
		return err
	}

	err = f(client)
	return errors.Join(err, client.Release())
}
