package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/run"
	"github.com/divisi-go/divisi/cmd/divisi/view"
	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/name"
)

func (c *command) callgraph() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "callgraph PROGRAM|PACKAGE",
		Short: "Show which components of a program call which, without running it",
		Long: "Show the components of a program, its listeners, and which components call which. The\n" +
			"program is not run. A folder or an import path is built first.",
		Example:     "  divisi callgraph .\n  divisi callgraph ./shop -o mermaid\n  divisi callgraph ./shop -o json",
		Args:        one("a program, or the folder or the import path of a main package"),
		Annotations: map[string]string{moreFormats: "mermaid"},
		RunE: func(cmd *cobra.Command, args []string) error {
			infos, err := run.Components(cmd.Context(), args[0], &view.View{Console: c.Console})
			if err != nil {
				return err
			}
			if done, err := c.JSON(graph(infos)); done {
				return err
			}

			if c.Format == "mermaid" {
				fmt.Fprint(c.Out, mermaid(infos))
			} else {
				fmt.Fprint(c.Out, graphText(infos))
			}

			return nil
		},
	}

	cmd.Flags().StringVarP(&c.Format, "output", "o", "text", "format: text, json or mermaid")
	console.Complete(cmd, "output", "text", "json", "mermaid")
	return cmd
}

// component is a component as JSON shows it.
type component struct {
	Name      string   `json:"name"`
	Impl      string   `json:"impl"`
	Calls     []string `json:"calls"`
	Listeners []string `json:"listeners"`
	Methods   []string `json:"methods"`
	Main      bool     `json:"main"`
	Routed    bool     `json:"routed"`
	Singleton bool     `json:"singleton"`
	Always    bool     `json:"always"`
}

func graph(infos []codegen.Info) []component {
	list := make([]component, len(infos))
	some := func(s []string) []string { return append([]string{}, s...) } // [] rather than null
	for n, i := range infos {
		list[n] = component{i.Name, i.Impl, some(i.Refs), some(i.Listeners), some(i.Methods),
			i.Main, i.Routed, i.Singleton, i.Always}
	}
	return list
}

func graphText(infos []codegen.Info) string {
	var b strings.Builder
	for _, i := range infos {
		fmt.Fprintf(&b, "%s (%s)", name.Short(i.Name), i.Name)
		for _, l := range i.Listeners {
			fmt.Fprintf(&b, " listens:%s", l)
		}

		if i.Routed {
			b.WriteString(" routed")
		}
		if i.Singleton {
			b.WriteString(" singleton")
		}

		b.WriteByte('\n')
		for _, ref := range i.Refs {
			fmt.Fprintf(&b, "  calls %s\n", name.Short(ref))
		}
	}

	return b.String()
}

func mermaid(infos []codegen.Info) string {
	var b strings.Builder
	number := map[string]int{}
	b.WriteString("graph TD\n")
	for n, i := range infos {
		number[i.Name] = n
		fmt.Fprintf(&b, "    c%d[%q]\n", n, name.Short(i.Name))
	}

	for n, i := range infos {
		for _, ref := range i.Refs {
			if to, ok := number[ref]; ok {
				fmt.Fprintf(&b, "    c%d --> c%d\n", n, to)
			}
		}
	}

	return b.String()
}

// one has a command take one argument.
func one(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("give one argument, %s", what)
		}
		return nil
	}
}
