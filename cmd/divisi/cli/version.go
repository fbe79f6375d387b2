package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Version is that of the command; a release sets it with the linker.
var Version = "development"

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this command",
		Example: "  divisi version\n  divisi version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version := Version
			if info, ok := debug.ReadBuildInfo(); ok && version == "development" &&
				strings.HasPrefix(info.Main.Version, "v") {
				version = info.Main.Version
			}
			v := map[string]string{"version": version, "go": runtime.Version(),
				"platform": runtime.GOOS + "/" + runtime.GOARCH, "protocol": "0.20", "wire": "1"}
			if done, err := c.json(v); done {
				return err
			}
			fmt.Fprintf(c.out, "divisi %s %s %s\n", version, v["go"], v["platform"])
			return nil
		},
	}
}
