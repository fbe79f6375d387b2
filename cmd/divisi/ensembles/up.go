// Package ensembles has the commands that run ensembles and change them, and the program of package system that an
// ensemble is.
package ensembles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/files"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/history"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	stored "github.com/divisi-go/divisi/internal/program"
	"github.com/divisi-go/divisi/system"
)

// command is what the commands of this package share.
type command struct{ *console.Console }

// Commands returns the commands.
func Commands(shared *console.Console) []*cobra.Command {
	c := command{shared}
	return []*cobra.Command{c.up(), c.down(), c.scale(), c.ensemble()}
}

func (c command) up() *cobra.Command {
	var detach, held, yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "up [ENSEMBLE.toml | /DOMAIN]",
		Short: "Run an ensemble: the servers of a document, in a tree of domains",
		Long: "Run the servers that a document says, and supervise them, until Ctrl-C, which stops them in the reverse\n" +
			"order. Whatever else ends this command, they go on, and the keeper restarts them; run it again, and it finds\n" +
			"them and changes only what differs. Without a document it is " + DocumentFile + " in this folder, or else\n" +
			"the ensemble as it was last.\n\n" +
			"A document that differs from the one before is the next revision. With --yes that may replace or stop more\n" +
			"than one server. A server with sockets is replaced without a refused connection. If a server of the\n" +
			"revision does not become ready, the revision before goes on.\n\n" +
			"--detach has the keeper run this command, and start it again with the machine; it returns when all are ready.",
		Example: "  divisi up\n  divisi up site/ensemble.toml --detach\n  divisi up /test",
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			s, err := c.bring(cmd.Context(), h, strings.Join(args, ""), yes)
			if err != nil {
				return err
			}
			if detach {
				return c.detach(cmd.Context(), h, s, timeout)
			}
			return c.runUp(h, s, held)
		},
	}

	cmd.Flags().BoolVar(&held, "held", false, "the keeper runs it")
	_ = cmd.Flags().MarkHidden("held") // it fails only for a flag that is not there
	cmd.Flags().BoolVar(&detach, "detach", false, "return when all are ready, and leave it running")
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that more than one server is replaced or stopped")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// atMostOne has a command take a document or a domain.
func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return errors.New("give at most one document or domain")
	}
	return nil
}

// bring returns the ensemble that is meant, whose newest revision is what the document says, if one is meant.
func (c command) bring(ctx context.Context, h home.Home, asked string, yes bool) (history.Shelf, error) {
	file := meant(asked)
	if file == "" {
		s, err := pick(h, asked)
		if err != nil {
			return s, err
		}
		return s, complete(s)
	}
	next, e, err := document(file)
	if err != nil {
		return history.Shelf{}, err
	}
	s := history.Of(h, e.Domain)
	_, err = c.add(ctx, h, s, yes, func(last history.Revision) (history.Revision, error) {
		next.Why = "divisi up " + file
		return next, keepSaid(&next, e, last)
	})
	if err != nil {
		return s, err
	}
	return s, complete(s)
}

// keepSaid keeps what an operator has said, as far as it means something in the next document.
func keepSaid(next *history.Revision, e *ensemble.Ensemble, last history.Revision) error {
	if last.Number == 0 {
		return nil
	}
	before, err := ensemble.Parse(last.File, last.Text, ensemble.Said{})
	if err != nil {
		return err
	}
	next.Said = last.Said.Kept(before, e)
	return nil
}

// runUp runs the ensemble in this process. Signals are for the program alone. One that the keeper runs does not come back
// when another run decides.
func (c command) runUp(h home.Home, s history.Shelf, held bool) error {
	p := &program{
		shelf: s, store: stored.Store(h), door: h.Keeper().Door, files: files.Of(h, s.Domain), log: slog.New(slog.NewTextHandler(c.Err, nil)), told: map[string]bool{},
		tell: func(server, listener, address string) {
			fmt.Fprintf(c.Out, "%s of %s is at %s\n", listener, server, address)
		},
	}
	err := p.run(context.Background())
	err = errors.Join(err, p.files.Clear(context.Background()))
	if errors.Is(err, system.ErrTaken) && held {
		return nil
	}
	if errors.Is(err, system.ErrTaken) {
		return &console.Error{Code: console.Degraded, Err: err}
	}
	return err
}

// detach has the keeper run the ensemble.
func (c command) detach(ctx context.Context, h home.Home, s history.Shelf, limit time.Duration) error {
	now, err := look(ctx, h, s)
	switch {
	case err != nil:
		return err
	case now.app.Client != nil:
		return c.renew(ctx, s, now.app.Client, limit)
	case now.controller != nil:
		return console.Failure("divisi logs "+controller(s).String()+" says why, and divisi down "+s.Domain+" ends it",
			"%v runs %s, and does not get ready", controller(s), s.Domain)
	}
	own, err := os.Executable()
	if err != nil {
		return err
	}
	var env []string
	for _, variable := range []string{"DIVISI_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "GORACE"} {
		if value, ok := os.LookupEnv(variable); ok {
			env = append(env, variable+"="+value)
		}
	}
	if err := server.Begin(ctx, controller(s), []string{own, "up", s.Domain, "--held"}, env, limit); err != nil {
		return err
	}
	return c.report(s, "runs")
}

// report says how an ensemble is by its newest revision.
func (c command) report(s history.Shelf, is string) error {
	r, err := s.Last()
	if err != nil {
		return err
	}
	e, err := r.Parse()
	if err != nil {
		return err
	}
	if done, err := c.JSON(struct {
		Domain   string `json:"domain"`
		Revision int    `json:"revision"`
		Servers  int    `json:"servers"`
	}{s.Domain, r.Number, len(e.Servers())}); done {
		return err
	}
	fmt.Fprintf(c.Out, "%s %s: revision %d, servers: %d\n", s.Domain, is, r.Number, len(e.Servers()))
	return nil
}

func (c command) down() *cobra.Command {
	var yes bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "down /DOMAIN | down [ENSEMBLE.toml] --yes",
		Short: "Stop an ensemble",
		Long: "Stop all servers of an ensemble, in the reverse order of their start, close its sockets, and end the command\n" +
			"that runs it. Nothing of another domain is touched. Revisions stay: divisi up /DOMAIN runs it again.",
		Example: "  divisi down /test\n  divisi down --yes",
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			asked := strings.Join(args, "")
			file := meant(asked)
			if file != "" {
				_, e, err := document(file)
				if err != nil {
					return err
				}
				asked = e.Domain
			}
			s, err := pick(h, asked)
			if err != nil {
				return err
			}
			if len(args) == 0 && !yes {
				return console.UsageError("all of %s would be stopped: say divisi down %s, or add --yes", s.Domain, s.Domain)
			}
			return console.Within(cmd.Context(), timeout, func(ctx context.Context) error { return c.runDown(ctx, h, s) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm it where no domain is given")
	console.TimeoutFlag(cmd, &timeout, 2*time.Minute)
	return cmd
}

// mostStops bounds how often an ensemble is stopped of which something is left.
const mostStops = 3

func (c command) runDown(ctx context.Context, h home.Home, s history.Shelf) error {
	now, err := look(ctx, h, s)
	if err != nil {
		return err
	}
	if now.controller != nil && now.app.Client == nil {
		if _, err := server.Stop(ctx, *now.controller); err != nil { // else it would begin again
			return err
		}
	} else if !now.runs {
		return console.Failure("divisi up "+s.Domain+" runs it", "nothing of %s runs", s.Domain)
	}
	// A command that was starting stops what it has come to, and the keeper has the rest then.
	for range mostStops {
		if !now.runs {
			break
		}
		if err := now.app.Stop(ctx); err != nil {
			return err
		}
		if now, err = see(ctx, h, s); err != nil {
			return err
		}
	}
	if now.runs {
		return console.Failure("divisi ps @"+s.Domain+"/... shows it", "something of %s is there again", s.Domain)
	}
	if err := ended(ctx, h, s); err != nil {
		return err
	}
	if err := files.Of(h, s.Domain).Clear(ctx); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "stopped %s\n", s.Domain)
	return nil
}
