package visit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/probe"
	"github.com/divisi-go/divisi/internal/selection"
	launched "github.com/divisi-go/divisi/internal/server"
)

// Answer is what a server has answered, or what is known of it without.
type Answer struct {
	Server  string  `json:"server"`
	Well    bool    `json:"well"`
	Asked   string  `json:"asked,omitempty"` // "" if it has nothing to be asked: then it is as the keeper knows it
	Seconds float64 `json:"seconds"`
	Why     string  `json:"why,omitempty"` // it is not well
}

func (c command) ping() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "ping SELECTOR...",
		Short: "Ask servers whether they are well",
		Long: "Ask every server that a selector picks, now, and say how long the answer took. A server is asked what the keeper\n" +
			"asks it again and again (--health, health in a document), or else what has said that it is ready (--ready), if that\n" +
			"can be asked. One with neither is well if the keeper has it as ready. One that starts, drains, fails or waits for\n" +
			"its next start is not, nor is one of an ensemble that does not run although nobody has stopped it. Of servers\n" +
			"that share a socket any may answer. The exit code is 1 unless all are well.",
		Example: "  divisi ping httpd-0@/test/www\n  divisi ping @/test/... -o json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("give a server, or another selector")
			}
			return nil
		},
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			answers, err := ask(cmd.Context(), args, timeout)
			if err != nil {
				return err
			}
			return c.showAnswers(answers)
		},
	}
	console.TimeoutFlag(cmd, &timeout, 5*time.Second)
	cmd.Flags().Lookup("timeout").Usage = "time for each answer"
	return cmd
}

// mostAsked is how many servers are asked at the same time.
const mostAsked = 32

// ask asks the servers that some selectors pick.
func ask(ctx context.Context, asked []string, limit time.Duration) ([]Answer, error) {
	k, list, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer k.Release()
	sockets, err := k.Sockets(ctx, "/")
	if err != nil {
		return nil, err
	}
	members, err := ensembles.Servers()
	if err != nil {
		return nil, err
	}
	var selectors []selection.Selector
	for _, text := range asked {
		s, err := server.Select(text)
		if err != nil {
			return nil, err
		}
		selectors = append(selectors, s)
	}

	answers := absent(list, members, selectors)
	var mu sync.Mutex // guards answers
	var all sync.WaitGroup
	room := make(chan struct{}, mostAsked)
	for _, p := range list {
		if !slices.ContainsFunc(selectors, func(s selection.Selector) bool { return server.Picks(s, p) }) {
			continue
		}
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			a := askOne(ctx, k, p, sockets, limit)
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, a)
		})
	}
	all.Wait()
	if len(answers) == 0 {
		return nil, console.Failure("what runs: divisi ps", "no server %s runs: %s", strings.Join(asked, ", "), name.Suggest(asked[0], server.Names(list)))
	}
	slices.SortFunc(answers, func(a, b Answer) int { return strings.Compare(a.Server, b.Server) })
	return answers, nil
}

// absent returns the servers of ensembles that run of which the keeper has nothing although they are to be there.
func absent(list []keeper.Proc, members []ensembles.Server, selectors []selection.Selector) (answers []Answer) {
	for _, m := range members {
		picked := slices.ContainsFunc(selectors, func(s selection.Selector) bool { return s.Picks(m.Server) })
		there := slices.ContainsFunc(list, func(p keeper.Proc) bool { return p.Domain == m.Domain && p.Name == m.Name })
		runs := slices.ContainsFunc(list, func(p keeper.Proc) bool { return name.Within(p.Domain, m.Of.Domain) })
		if picked && runs && !there && !m.Stopped {
			answers = append(answers, Answer{Server: m.String(), Why: "it does not run: divisi logs " + m.String() + " may say why"})
		}
	}
	return answers
}

// askOne asks one server.
func askOne(ctx context.Context, k *door.Client, p keeper.Proc, sockets []keeper.Socket, limit time.Duration) Answer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	a := Answer{Server: p.ID.String()}
	begin := time.Now()
	question, target, err := questionOf(ctx, k, p, sockets)
	switch {
	case err != nil:
	case p.State != lifecycle.Ready:
		err = fmt.Errorf("it is %s", p.State)
	case question.Kind != "":
		a.Asked = question.String()
		if err = question.Check(ctx, target); err != nil && ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v: %w", limit, err)
		}
	case p.Failing != "":
		err = errors.New(p.Failing)
	}
	a.Seconds, a.Well = time.Since(begin).Seconds(), err == nil
	if err != nil {
		a.Why = err.Error()
	}
	return a
}

// questionOf returns what a server is asked, the zero value for nothing, and how it is reached.
func questionOf(ctx context.Context, k *door.Client, p keeper.Proc, sockets []keeper.Socket) (question probe.Probe, to probe.Target, err error) {
	spec, err := k.Spec(ctx, p.ID)
	if err != nil {
		return question, to, err
	}
	ready := spec.Labels[launched.LabelReady]
	switch {
	case spec.Probe != nil:
		question, err = spec.Probe.Question()
	case ready != "":
		if question, err = probe.Parse(ready); question.Kind == probe.Notify || question.Kind == probe.Log {
			question = probe.Probe{} // only the server says that, by itself
		}
	}
	if err != nil {
		return question, to, err
	}

	to = probe.Target{Dir: cmp.Or(spec.Dir, "/"), Env: spec.Env, Since: p.Started}
	if question.Kind == probe.Exec {
		if to.Attr, err = fork.Become(spec.User); err != nil {
			return question, to, err
		}
	}
	for _, i := range spec.Sockets {
		domain, key := i.Of(spec.Domain)
		for _, s := range sockets {
			if s.Domain == domain && s.Key == key {
				to.Listeners = append(to.Listeners, probe.Address{Network: s.Network, Address: s.Actual})
			}
		}
	}
	return question, to, nil
}

func (c command) showAnswers(answers []Answer) error {
	unwell := 0
	for _, a := range answers {
		if !a.Well {
			unwell++
		}
	}
	done, err := c.JSON(answers)
	if err != nil {
		return err
	}
	if !done {
		for _, a := range answers {
			text := fmt.Sprintf("OK   %s  %.1f ms", a.Server, a.Seconds*1000)
			if !a.Well {
				text = fmt.Sprintf("NOT  %s  %s", a.Server, console.Visible(a.Why))
			}
			fmt.Fprintln(c.Out, text)
		}
	}
	if unwell > 0 {
		return &console.Error{Code: console.Failed, Err: fmt.Errorf("%d of %d are not well", unwell, len(answers))}
	}
	return nil
}
