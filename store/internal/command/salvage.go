package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/divisi-go/divisi/store/internal/journal"
	"github.com/divisi-go/divisi/store/internal/salvage"
)

// farAhead is how many revisions a recovered store leaves out: more than the lost members may have made.
const farAhead = 1_000_000_000

// restore makes a data folder of a snapshot.
func restore(_ context.Context, c *call) error {
	var o salvage.Options
	defineSalvage(c, &o)
	c.flags.Int64Var(&o.Skip, "bump-revision", 0, "how many `revisions` are left out, so that clients of the former store cannot take new ones for old")
	compacted := c.flags.Bool("mark-compacted", false, "let watches from before learn that they have missed something; needs --bump-revision, which needs it")
	c.flags.BoolVar(&o.Unsummed, "skip-hash-check", false, "take a file without check sum, as a copy of member/snap/db is")
	err := c.parse(1, 1)
	switch {
	case err != nil:
		return err
	case o.Dir == "":
		return errors.New("cannot restore a snapshot without a folder: give one with --data")
	case o.Skip < 0 || (o.Skip > 0) != *compacted:
		return errors.New("cannot have one of --bump-revision and --mark-compacted: give both, or none")
	}
	made, err := salvaged(c, o, func(o salvage.Options) (salvage.Result, error) { return salvage.Restore(c.arguments[0], o) })
	if err != nil {
		return err
	}
	return c.show(made, "restored %s up to revision %d into %s, as a new store %x\n%s",
		c.arguments[0], made.Kept, o.Dir, made.Cluster, skipped(made))
}

// recoverStore makes a store with one member of the folder of a member that has lost the others.
func recoverStore(_ context.Context, c *call) error {
	var o salvage.Options
	defineSalvage(c, &o)
	c.flags.Int64Var(&o.Skip, "bump-revision", farAhead, "how many `revisions` are left out: more than the lost members may have made")
	err := c.parse(0, 0)
	switch {
	case err != nil:
		return err
	case o.Dir == "":
		return errors.New("cannot recover a store without a folder: give that of the member with --data, or a copy of it")
	case o.Skip <= 0:
		return fmt.Errorf("cannot leave out %d revisions: clients would take new ones for those that they have seen", o.Skip)
	}
	made, err := salvaged(c, o, salvage.Recover)
	if err != nil {
		return err
	}
	return c.show(made, "kept all up to revision %d; %d entries of that were in the log only\n"+
		"made of it a new store %x with one member in %s\n%s"+
		"the former member is in %s: remove it when all is well\n"+
		"let no other member of the former store start again: it would be another store with the same keys\n",
		made.Kept, made.Entries, made.Cluster, o.Dir, skipped(made), made.Former)
}

func defineSalvage(c *call, o *salvage.Options) {
	c.flags.StringVar(&o.Dir, "data", "", "the data `folder`")
	c.flags.StringVar(&o.Name, "name", "default", "what the member is called")
	c.output()
}

func skipped(made salvage.Result) string {
	if made.Newest == made.Kept {
		return ""
	}
	return fmt.Sprintf("its newest revision is %d, and those before are compacted\n", made.Newest)
}

// salvaged makes a store. Where etcd's packages cannot go on, they end the goroutine, and that is an error.
func salvaged(c *call, o salvage.Options, work func(salvage.Options) (salvage.Result, error)) (salvage.Result, error) {
	lost := make(chan error, 2)
	handler := slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelError})
	o.Logger = journal.New(handler, func(err error) { lost <- err })

	type result struct {
		made salvage.Result
		err  error
	}
	done := make(chan result, 1)
	go func() {
		made, err := work(o)
		done <- result{made, err}
	}()
	select {
	case r := <-done:
		return r.made, r.err
	case err := <-lost:
		return salvage.Result{}, fmt.Errorf("cannot make a store in %s: %w", o.Dir, err)
	}
}
