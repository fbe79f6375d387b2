package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Version is the version of the command; a release sets it with the linker.
var Version = "development"

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this command",
		Example: "  divisi version\n  divisi version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": version(), "go": runtime.Version(),
				"platform": runtime.GOOS + "/" + runtime.GOARCH, "protocol": "0.20", "wire": "1"}
			if done, err := c.JSON(v); done {
				return err
			}
			fmt.Fprintf(c.Out, "divisi %s\n", versionText())
			return nil
		},
	}
}

// version returns the one of a release that the linker or the go command has set.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && Version == "development" && strings.HasPrefix(info.Main.Version, "v") {
		return info.Main.Version
	}
	return Version
}

// released returns the version of the release that this command is of, or "". The modules of Divisi are tagged together.
func released() string {
	if v := version(); semver.IsValid(v) && !module.IsPseudoVersion(v) && semver.Build(v) == "" {
		return v
	}
	return ""
}

func versionText() string {
	return fmt.Sprintf("%s %s %s/%s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
