package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/internal/control"
)

// listed is a replica as ps shows it.
type listed struct {
	App string `json:"app"`
	control.ReplicaStatus
}

func (c *command) ps() *cobra.Command {
	return &cobra.Command{
		Use:   "ps",
		Short: "List the replicas of all applications",
		Long: "List the replicas of all applications. The exit code is 3 if there are applications\n" +
			"that do not answer.",
		Example: "  divisi ps\n  divisi ps -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			apps, err := find(cmd.Context())
			if err != nil && len(apps) > 0 {
				err = &exitError{code: exitDegraded, err: err}
			}
			list := []listed{}
			var replicas []control.ReplicaStatus
			for _, app := range apps {
				for _, r := range app.Status.Replicas {
					list = append(list, listed{app.Status.App, r})
				}
				replicas = append(replicas, app.Status.Replicas...)
			}
			if done, failed := c.json(list); done {
				return errors.Join(failed, err)
			}
			if len(replicas) == 0 && err == nil {
				fmt.Fprintln(c.err, "no application runs")
				return nil
			}
			c.columns(replicaRows(replicas, time.Now()))
			return err
		},
	}
}
