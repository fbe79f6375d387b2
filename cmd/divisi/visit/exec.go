package visit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles"
	"github.com/divisi-go/divisi/cmd/divisi/ensembles/content"
	"github.com/divisi-go/divisi/cmd/divisi/server"
	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/name"
	stored "github.com/divisi-go/divisi/internal/program"
	launched "github.com/divisi-go/divisi/internal/server"
)

// The exit codes where the command has none of its own, as those of timeout(1) and of shells.
const (
	codeTimeout       = 124
	codeNotExecutable = 126
	codeNotFound      = 127
	firstSignal       = 128
)

func (c command) exec() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "exec SERVER -- COMMAND [ARGS] | exec @/DOMAIN -- COMMAND [ARGS]",
		Short: "Run a command as a server of an ensemble runs",
		Long: "Run a command with the variables, in the folder and as the user of a server of an ensemble that runs, or with\n" +
			"those of [base] in the document, for a domain. It has the input, the output and the terminal of this command, and\n" +
			"none of the server's sockets and limits. COMMAND is looked for in the server's PATH and from its folder.\n\n" +
			"It is refused unless the document says exec = true, for the server, its role or [base].\n\n" +
			"The exit code is that of the command, 128 and the number of the signal that has ended it, 124 after --timeout,\n" +
			"126 if it cannot be executed, and 127 if there is none.",
		Example: "  divisi exec db@/test -- psql -c 'select 1'\n  divisi exec httpd-0@/test/www -- sh\n  divisi exec @/test -- env",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 || len(args) < 2 || args[1] == "" {
				return errors.New("give one server or domain, and the command behind --")
			}
			return nil
		},
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := placeOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return run(cmd.Context(), at, args[1:], timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "end the command after this time, by SIGTERM, and 5 s later by SIGKILL (default never)")
	return cmd
}

// place is where a command runs.
type place struct {
	env  []string
	dir  string
	user string
}

// refusal is the error of a command where the document does not allow any.
func refusal(where, way string) error {
	return console.Failure(way, "no command may run as %s does: its document does not say exec = true", where)
}

// placeOf returns where a command runs that is for a server, or for a domain.
func placeOf(ctx context.Context, asked string) (p place, err error) {
	s, err := server.Select(asked)
	if err != nil {
		return p, err
	}
	if domain := s.Domain(); domain != "" {
		return placeOfDomain(domain)
	}
	members, err := ensembles.Servers()
	if err != nil {
		return p, err
	}
	k, list, err := open(ctx)
	if err != nil {
		return p, err
	}
	defer k.Release()
	proc, err := server.Only(list, asked)
	if err != nil {
		return p, err
	}
	at := slices.IndexFunc(members, func(m ensembles.Server) bool { return m.String() == proc.ID.String() })
	switch {
	case at < 0:
		return p, console.Failure("servers of an ensemble have that, see divisi up", "%v is no server of an ensemble, whose document could allow it", proc.ID)
	case !members[at].Exec:
		return p, refusal(proc.ID.String(), "write exec = true for the server, its role or [base], and divisi ensemble apply it")
	}
	spec, err := k.Spec(ctx, proc.ID)
	return place{spec.Env, spec.Dir, spec.User}, err
}

// placeOfDomain returns where a command runs that is for a domain of an ensemble.
func placeOfDomain(domain string) (p place, err error) {
	r, err := ensembles.Around(domain)
	if err != nil {
		return p, err
	}
	e, err := r.Parse()
	if err != nil {
		return p, err
	}
	if !*e.Base.Exec {
		return p, refusal(domain, "write exec = true in [base], and divisi ensemble apply it")
	}
	where, err := home.Find()
	if err != nil {
		return p, err
	}
	pushed := content.Paths(stored.Store(where), r.Content)
	of := ensemble.Server{Server: name.Server{Domain: domain}}
	var own []string
	for _, variable := range slices.Sorted(maps.Keys(e.Base.Env)) {
		own = append(own, variable+"="+pushed.Replace(of.Expand(e.Base.Env[variable])))
	}
	p.user, p.dir = e.Base.User, pushed.Replace(e.Base.Dir)
	if !filepath.IsAbs(p.dir) {
		p.dir = filepath.Join(filepath.Dir(r.File), p.dir)
	}
	p.env, err = launched.Environment(own, p.user)
	return p, err
}

// killTime is how long a command has to end after SIGTERM.
const killTime = 5 * time.Second

// run runs a command at a place, with the streams of this process, and returns how it has ended. At a terminal it is of the
// process group of this one, so that what is typed there reaches it; elsewhere it has one of its own, which ends as a whole.
func run(ctx context.Context, at place, args []string, limit time.Duration) error {
	path, err := find(args[0], at)
	if err != nil {
		return err
	}
	attr, err := fork.Become(at.user)
	if err != nil {
		return err
	}
	typed := term.IsTerminal(int(os.Stdin.Fd()))
	attr.Setpgid = !typed
	cmd := &exec.Cmd{Path: path, Args: args, Env: at.env, Dir: at.dir, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, SysProcAttr: attr}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(asked)
	if err := cmd.Start(); err != nil {
		return &console.Error{Code: codeNotExecutable, Err: fmt.Errorf("cannot execute %s: %w", args[0], errors.Unwrap(err))}
	}

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	interrupted, over := ctx.Done(), (<-chan time.Time)(nil)
	if typed {
		interrupted = nil // it has the signal itself
	}
	if limit > 0 {
		over = time.After(limit)
	}
	late := false
	select {
	case err = <-ended:
		return codeOf(cmd.ProcessState, err)
	case <-over:
		late = true
	case <-interrupted:
	case <-asked:
	}
	err = end(cmd.Process.Pid, attr.Setpgid, ended)
	if late {
		return &console.Error{Code: codeTimeout, Err: fmt.Errorf("%s has not ended within %v, and was ended", args[0], limit)}
	}
	return codeOf(cmd.ProcessState, err)
}

// end ends a command, and what is in its process group if it has one of its own.
func end(pid int, group bool, ended <-chan error) error {
	if group {
		pid = -pid
	}
	_ = syscall.Kill(pid, syscall.SIGTERM) // it may have just ended
	select {
	case err := <-ended:
		return err
	case <-time.After(killTime):
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	return <-ended
}

// codeOf returns the exit code of this command for how another one has ended.
func codeOf(state *os.ProcessState, err error) error {
	if state == nil {
		return err
	}
	status, _ := state.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled():
		return &console.Error{Code: firstSignal + int(status.Signal())}
	case status.ExitStatus() != 0:
		return &console.Error{Code: status.ExitStatus()}
	}
	return nil
}

// find finds a program as a shell at a place would.
func find(word string, at place) (string, error) {
	candidates := []string{word}
	if !strings.Contains(word, "/") {
		candidates = nil
		for _, dir := range filepath.SplitList(variable(at.env, "PATH")) {
			candidates = append(candidates, filepath.Join(dir, word))
		}
	}
	there := ""
	for _, path := range candidates {
		if !filepath.IsAbs(path) {
			path = filepath.Join(at.dir, path)
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir():
		case err == nil && info.Mode()&0o111 != 0:
			return path, nil
		default:
			there = path
		}
	}
	if there != "" {
		return "", &console.Error{Code: codeNotExecutable, Err: fmt.Errorf("%s is not executable", there)}
	}
	return "", &console.Error{Code: codeNotFound, Err: fmt.Errorf("there is no command %s, in PATH or from %s", word, at.dir)}
}

// variable returns the value of a variable in NAME=VALUE pairs.
func variable(env []string, name string) (value string) {
	for _, pair := range env {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}
