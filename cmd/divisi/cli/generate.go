package cli

import (
	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/internal/gen"
)

func (c *command) generate() *cobra.Command {
	var options gen.Options
	cmd := &cobra.Command{
		Use:   "generate [PACKAGES]",
		Short: "Write the code that connects components",
		Long: "Write the code that connects components, into a file divisi_gen.go beside those that\n" +
			"declare them. Packages are given as to the go command; the default is the one in this\n" +
			"folder. Files that are right are not touched. What cannot be generated is shown as\n" +
			"file:line:col, with the way out, and then no file is changed.",
		Example: "  divisi generate ./...\n  divisi generate --check ./...",
		RunE: func(cmd *cobra.Command, args []string) error {
			options.Patterns = args
			options.Report = c.Err
			return gen.Run(cmd.Context(), options)
		},
	}

	cmd.Flags().BoolVar(&options.Check, "check", false, "write nothing; fail if a file would change")
	cmd.Flags().StringVar(&options.Tags, "tags", "", "build tags, separated by commas")
	return cmd
}
