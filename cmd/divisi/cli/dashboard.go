package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/dashboard"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles"
	"github.com/divisi-go/divisi/cmd/divisi/subject"
	"github.com/divisi-go/divisi/internal/home"
)

func (c *command) dashboard() *cobra.Command {
	var admin string
	cmd := subject.OneApplication(&cobra.Command{
		Use:   "dashboard [APP]",
		Short: "Serve the live page of all that runs",
		Long: "Serve a page of all applications and programs that run here, for browsers on this machine only, until Ctrl-C:\n" +
			"how they are, what they log, and what programs of package system ask and can be told.",
		Example: "  divisi dashboard\n  divisi dashboard orderd --admin localhost:9090",
		RunE: func(cmd *cobra.Command, args []string) error {
			if admin == "" {
				return console.UsageError("--admin: give an address such as localhost:9090")
			}
			addresses := pageAddresses(cmd, admin)
			if err := dashboard.Check(addresses); err != nil {
				return console.UsageError("%w", err)
			}
			first := ""
			if len(args) > 0 {
				app, err := subject.Pick(cmd.Context(), args)
				if err != nil {
					return err
				}
				first = app.Status.App
			}
			h, err := home.Find()
			if err != nil {
				return err
			}
			page, err := dashboard.Listen(addresses, h.Token(), h, first)
			if err != nil {
				return err
			}
			if done, _ := c.JSON(map[string]string{"live_page": page.URL()}); !done {
				fmt.Fprintln(c.Out, page.URL())
			}
			return page.With(ensembles.Page()).Serve(cmd.Context())
		},
	})
	pageFlag(cmd, &admin)
	return cmd
}
