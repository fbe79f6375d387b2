package operate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/control"
)

func (c *command) verbs() *cobra.Command {
	return one(&cobra.Command{
		Use:     "verbs [PROGRAM]",
		Short:   "List what a program can be told to do",
		Long:    "List the verbs of a program of package system: those that every one has, and its own.",
		Example: "  divisi verbs orderd\n  divisi do orderd tree",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := pick(cmd.Context(), args)
			if err != nil {
				return err
			}
			verbs, err := client.Verbs(cmd.Context())
			if err != nil {
				return err
			}

			if done, err := c.JSON(verbs); done {
				return err
			}
			rows := [][]string{{"VERB", "TAKES", "GIVES", "WHO", "WHAT"}}
			for _, v := range verbs {
				rows = append(rows, []string{v.Usage(), taken(v), cmp.Or(v.Gives, "-"), v.Who, v.Help})
			}
			c.Columns(rows)
			return nil
		},
	})
}

// taken says what the arguments of a verb are.
func taken(v control.Verb) string {
	var takes []string
	for _, a := range v.Takes {
		takes = append(takes, a.Name+": "+a.Wants)
	}
	return cmp.Or(strings.Join(takes, "; "), "-")
}

func (c *command) do() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "do [-o json] PROGRAM VERB [ARGUMENT...]",
		Short: "Have a program do something",
		Long: "Have a program of package system do something: what every one can, or what it has said that it can.\n" +
			"Flags come before PROGRAM. The arguments are checked before anything is done.\n\n" +
			"An argument - is what standard input has: a secret, which every user of the machine could read among\n" +
			"the arguments. At a terminal it is asked for, and not shown.",
		Example: "  divisi do orderd list\n  divisi do orderd restart positiond\n  divisi do orderd set max-orders 20000\n" +
			"  divisi do orderd set password - <password.txt",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("give a program and a verb")
			}
			from := slices.Index(args, console.Stdin)
			if from >= 0 && slices.Contains(args[from+1:], console.Stdin) {
				return errors.New("standard input is one argument: give - once")
			}
			return nil
		},
		ValidArgsFunction: completeVerbs,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := pick(cmd.Context(), args[:1])
			if err != nil {
				return err
			}
			for i := 2; i < len(args); i++ {
				what := fmt.Sprintf("argument %d of %s", i-1, args[1])
				if args[i], err = c.Given(cmd.Context(), cmd.InOrStdin(), args[i], what); err != nil {
					return err
				}
			}
			answer, err := client.Do(cmd.Context(), args[1], args[2:])
			if err != nil {
				return err
			}
			if done, err := c.JSON(answer); done {
				return err
			}
			return c.showResult(answer)
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func completeVerbs(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return completePrograms(cmd, args, begin)
	case 1:
		client, err := pick(cmd.Context(), args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		verbs, err := client.Verbs(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for _, v := range verbs {
			names = append(names, v.Name+"\t"+v.Help)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	case 2:
		return completeArgument(cmd, args)
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// completeArgument completes the first argument of a verb that every program has.
func completeArgument(cmd *cobra.Command, args []string) (names []string, _ cobra.ShellCompDirective) {
	client, err := pick(cmd.Context(), args[:1])
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	from := map[string]struct{ verb, member string }{
		"restart": {"list", "path"}, "drain": {"list", "path"}, "logs": {"list", "path"},
		"set": {"values", "name"}, "answer": {"questions", "key"},
	}[args[1]]
	if from.verb == "" {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var list []map[string]any
	answer, err := client.Do(cmd.Context(), from.verb, nil)
	if err != nil || json.Unmarshal(answer, &list) != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, item := range list {
		names = append(names, fmt.Sprint(item[from.member]))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// showResult shows what a verb has answered: a text as it is, a list of objects as a table, else JSON.
func (c *command) showResult(answer json.RawMessage) error {
	var text string
	var list []json.RawMessage
	switch {
	case string(answer) == "null":
		return nil
	case json.Unmarshal(answer, &text) == nil:
		fmt.Fprintln(c.Out, console.Visible(strings.TrimSuffix(text, "\n")))
		return nil
	case json.Unmarshal(answer, &list) == nil && len(list) == 0:
		fmt.Fprintln(c.Err, "there is none")
		return nil
	case list != nil:
		if rows := table(list); rows != nil {
			c.Columns(rows)
			return nil
		}
	}

	var out bytes.Buffer
	if err := json.Indent(&out, answer, "", "  "); err != nil {
		return err
	}
	fmt.Fprintln(c.Out, out.String())
	return nil
}

// table returns objects as rows, the columns being the members of the first one that is there; nil if they
// are none.
func table(list []json.RawMessage) [][]string {
	var head []string
	var rows [][]string
	for _, item := range list {
		var object map[string]any
		if json.Unmarshal(item, &object) != nil {
			return nil
		}
		for _, name := range members(item) {
			if !slices.Contains(head, name) {
				head = append(head, name)
			}
		}
	}

	for _, item := range list {
		var object map[string]any
		_ = json.Unmarshal(item, &object)
		row := make([]string, len(head))
		for i, name := range head {
			if v, ok := object[name]; ok {
				row[i] = fmt.Sprint(v)
			}
		}
		rows = append(rows, row)
	}

	names := make([]string, len(head))
	for i, name := range head {
		names[i] = strings.ToUpper(name)
	}
	return append([][]string{names}, rows...)
}

// members returns the names of an object's members in their order.
func members(object json.RawMessage) (names []string) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	_, _ = decoder.Token() // the brace
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			return names
		}
		names = append(names, fmt.Sprint(name))
	}
	return names
}
