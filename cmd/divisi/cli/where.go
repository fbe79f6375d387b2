package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/internal/home"
)

// place is where everything is, as JSON shows it.
type place struct {
	Home    string `json:"home"`
	Runtime string `json:"runtime"`
	Apps    []door `json:"apps"`
}

// door is where an application can be asked.
type door struct {
	App    string `json:"app"`
	Socket string `json:"socket"`
}

func (c *command) where() *cobra.Command {
	return &cobra.Command{
		Use:   "where",
		Short: "Show where state and sockets are",
		Long: "Show the folder of what outlives processes, the folder of sockets, and the socket of the\n" +
			"control API of every application that runs, which programs and curl can ask.",
		Example: "  divisi where\n  curl --unix-socket $(divisi where -o json | jq -r '.apps[0].socket') http://divisi/v1/servers",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			apps, err := find(cmd.Context())
			if err != nil {
				err = &exitError{code: exitDegraded, err: err}
			}

			p := place{Home: h.Dir, Runtime: h.Runtime, Apps: []door{}}
			rows := [][]string{{"home", p.Home}, {"runtime", p.Runtime}}
			for _, app := range apps {
				d := door{app.Status.App, app.Status.Controller.Socket}
				p.Apps = append(p.Apps, d)
				rows = append(rows, []string{"door of " + d.App, d.Socket})
			}
			if done, failed := c.json(p); done {
				return errors.Join(failed, err)
			}
			c.columns(rows)
			return err
		},
	}
}
