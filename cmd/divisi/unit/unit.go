// Package unit is the service of systemd that runs the keeper: what is in its file, and how it comes to
// be there and goes.
package unit

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper/door"
)

// Name is what systemd calls the service.
const Name = "divisi-keeper.service"

// maxStored is how many descriptors systemd keeps for the keeper. All of them are passed to the next one,
// and a process has room for 1,024 unless somebody has raised that.
const maxStored = 512

// Unit is the service that runs the keeper of a home.
type Unit struct {
	Home    home.Home
	Program string // path of divisi
	User    bool   // of the user's own manager, in place of the machine's
	File    string // path
}

// New returns the service of this program, for a home.
func New(h home.Home, user bool) (*Unit, error) {
	u := &Unit{Home: h, User: user}
	var err error
	if u.Program, err = os.Executable(); err != nil {
		return nil, err
	}
	if u.File, err = file(user); err != nil {
		return nil, err
	}
	return u, u.check()
}

// Manager is the flag by which commands such as journalctl are about the unit's manager.
func (u *Unit) Manager() string { return u.record().Manager() }

// file returns the path of the service's file.
func file(user bool) (string, error) {
	if !user {
		return filepath.Join("/etc/systemd/system", Name), nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "systemd/user", Name), err
}

// check says why there cannot be such a service.
func (u *Unit) check() error {
	for _, path := range []string{u.Program, u.Home.Dir} {
		if strings.ContainsFunc(path, unicode.IsControl) {
			return fmt.Errorf("a unit of systemd cannot have the path %q: use another folder", path)
		}
	}
	if temporary := os.TempDir() + "/"; strings.HasPrefix(u.Program, temporary) {
		return fmt.Errorf("%s does not stay there, for it is in %s: copy it to a folder such as /usr/local/bin, "+
			"and install it from there", u.Program, temporary)
	}
	if u.User {
		return nil
	}

	if strings.HasPrefix(u.Home.Runtime, "/run/user/") {
		return fmt.Errorf("the keeper's sockets would be in %s, which is removed when root logs out: "+
			"use env -u XDG_RUNTIME_DIR divisi keeper install", u.Home.Runtime)
	}
	return checkOwner(u.Program)
}

// Text returns what is in the file.
func (u *Unit) Text() string {
	var b strings.Builder
	section := func(name string, lines ...string) {
		fmt.Fprintf(&b, "\n[%s]\n%s\n", name, strings.Join(lines, "\n"))
	}
	order, target := []string{"Wants=network-online.target", "After=network-online.target nss-user-lookup.target"}, "multi-user.target"
	if u.User {
		order, target = nil, "default.target"
	}

	fmt.Fprintln(&b, "# Made by divisi keeper install, which replaces it, and removed by divisi keeper uninstall.")
	section("Unit", append([]string{
		"Description=Keeper of divisi in " + strings.ReplaceAll(u.Home.Dir, "%", "%%"),
		"StartLimitIntervalSec=0", // what waits for it must not wait for a person
	}, order...)...)
	section("Service",
		"Type=notify",
		"NotifyAccess=main",
		"ExecStart=@"+quote(u.Program)+" divisi keeper "+argument(u.Home.Dir),
		u.environment(),
		"Restart=always",
		"RestartSec=500ms",
		"WatchdogSec=30s",
		"KillMode=process",
		"OOMPolicy=continue",
		"TasksMax=infinity",
		"Delegate=yes",
		"DelegateSubgroup=keeper", // of systemd 254: limits work beside a group, and not in it
		fmt.Sprint("FileDescriptorStoreMax=", maxStored),
	)
	section("Install", "WantedBy="+target)
	return b.String()
}

// environment says which keeper it is.
func (u *Unit) environment() string { return "Environment=" + quote(door.Variable+"="+u.Home.Dir) }

// quote quotes a value of which systemd splits words, and in which it replaces specifiers.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(s) + `"`
}

// argument quotes an argument of a program, in which systemd replaces variables as well.
func argument(s string) string { return quote(strings.ReplaceAll(s, "$", "$$")) }

// difference returns the lines of a file that are not to be there, behind "-", and those that it lacks,
// behind "+".
func difference(have, want string) string {
	var b strings.Builder
	missing := func(sign, from, in string) {
		lines := strings.Split(in, "\n")
		for line := range strings.Lines(from) {
			if line = strings.TrimSuffix(line, "\n"); !slices.Contains(lines, line) {
				fmt.Fprintln(&b, sign+line)
			}
		}
	}
	missing("-", have, want)
	missing("+", want, have)
	return b.String()
}
