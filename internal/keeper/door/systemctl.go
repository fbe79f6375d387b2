package door

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/divisi-go/divisi/internal/home"
)

// Variable is the variable that makes a program a keeper. It has the path of the state folder.
const Variable = "DIVISI_KEEPER"

// Systemctl returns the command that asks the manager of a unit for something.
func Systemctl(ctx context.Context, u home.Unit, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "systemctl", append([]string{u.Manager()}, args...)...)
	cmd.WaitDelay = time.Second
	if os.Getenv("XDG_RUNTIME_DIR") == "" { // where it finds the user's manager
		cmd.Env = append(os.Environ(), fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", os.Getuid()))
	}
	return cmd
}
