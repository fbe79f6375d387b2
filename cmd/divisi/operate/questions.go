package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/operator"
)

func (c *command) questions() *cobra.Command {
	return one(&cobra.Command{
		Use:   "questions [PROGRAM]",
		Short: "List what programs want to know",
		Long: "List the questions of programs of package system that wait for an answer: also of those that do not\n" +
			"run, for they ask again when they do.",
		Example: "  divisi questions\n  divisi answer port 8081",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := desks(cmd.Context(), strings.Join(args, ""))
			questions := []control.Question{}
			for _, d := range list {
				questions = append(questions, d.questions...)
			}
			if err != nil && len(questions) > 0 {
				err = &console.Error{Code: console.Degraded, Err: err}
			}

			if done, failed := c.JSON(questions); done {
				return errors.Join(failed, err)
			}
			if len(questions) == 0 && err == nil {
				fmt.Fprintln(c.Err, "nothing is asked")
			}
			for i, q := range questions {
				if i > 0 {
					fmt.Fprintln(c.Out)
				}
				c.showQuestion(q)
			}
			return err
		},
	})
}

func (c *command) showQuestion(q control.Question) {
	fmt.Fprintf(c.Out, "%s, since %s\n", q.Key, q.Since.Local().Format(time.DateTime))
	fmt.Fprintln(c.Out, "  "+strings.ReplaceAll(console.Visible(strings.TrimSpace(q.Text)), "\n", "\n  "))
	if q.Refused != "" {
		fmt.Fprintln(c.Out, "  "+console.Visible(q.Refused))
	}

	way := "divisi answer " + q.Key
	switch {
	case q.Given != nil:
		fmt.Fprintf(c.Out, "  answered (%s): %s takes that when it runs\n", q.Given.Kind, q.App)
	case q.Type == "":
		fmt.Fprintf(c.Out, "  %s --retry, or --give-up\n", way)
	case q.Default != "":
		fmt.Fprintf(c.Out, "  %s VALUE (%s), --retry (with %s), or --give-up\n", way, q.Type, q.Default)
	default:
		fmt.Fprintf(c.Out, "  %s VALUE (%s), or --give-up\n", way, q.Type)
	}
}

func (c *command) answer() *cobra.Command {
	var retry, giveUp bool
	cmd := &cobra.Command{
		Use:   "answer KEY VALUE | answer KEY - | answer KEY --retry | answer KEY --give-up",
		Short: "Answer the question of a program",
		Long: "Answer a question of a program of package system, given by its key or the end of that: with a value,\n" +
			"or with --retry, to try once more what has failed, or with --give-up, to go on without it. A program\n" +
			"that does not run takes the answer when it runs next.\n\n" +
			"The value - is what standard input has: of a secret, which every user of the machine could read among\n" +
			"the arguments. At a terminal it is asked for, and not shown.",
		Example:           "  divisi answer /orderd/port 8081\n  divisi answer port --retry\n  divisi answer password - <password.txt",
		ValidArgsFunction: completeQuestions,
		Args: func(_ *cobra.Command, args []string) error {
			others := 0
			for _, given := range []bool{len(args) > 1, retry, giveUp} {
				if given {
					others++
				}
			}
			if len(args) < 1 || len(args) > 2 || others != 1 {
				return errors.New("give the key of a question and one of a value, --retry and --give-up")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a := control.Answer{Key: args[0], Kind: control.Value}
			var err error
			switch {
			case retry:
				a.Kind = control.Retry
			case giveUp:
				a.Kind = control.GiveUp
			default:
				a.Value, err = c.Given(cmd.Context(), cmd.InOrStdin(), args[1], "the answer to "+a.Key)
			}
			if err != nil {
				return err
			}
			return c.giveAnswer(cmd.Context(), a)
		},
	}
	cmd.Flags().BoolVar(&retry, "retry", false, "try once more")
	cmd.Flags().BoolVar(&giveUp, "give-up", false, "go on without it")
	return cmd
}

func (c *command) giveAnswer(ctx context.Context, a control.Answer) error {
	list, silent := desks(ctx, "")
	var open []control.Question
	for _, d := range list {
		open = append(open, d.questions...)
	}
	key, err := operator.Pick(a.Key, open)
	if err != nil {
		return errors.Join(silent, err)
	}

	a.Key = key
	for _, d := range list {
		asks := func(q control.Question) bool { return q.Key == key }
		if !slices.ContainsFunc(d.questions, asks) {
			continue
		}
		if d.client != nil {
			return d.client.Answer(ctx, a)
		}
		if err := d.shelf.Answer(a); err != nil {
			return err
		}
		fmt.Fprintf(c.Err, "%s does not run: it takes the answer when it runs next\n", d.app)
	}
	return nil
}

func completeQuestions(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, _ := desks(cmd.Context(), "")
	var keys []string
	for _, d := range list {
		for _, q := range d.questions {
			first, _, _ := strings.Cut(q.Text, "\n")
			keys = append(keys, q.Key+"\t"+first)
		}
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}
