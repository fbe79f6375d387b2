package server

import (
	"errors"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/divisi-go/divisi/internal/clock"
)

// Passed are the variables of whoever starts a server that the server gets. Nothing else is passed on.
var Passed = []string{"PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR"}

// Environment returns the variables of a server: its own, NAME=VALUE each, and those that are passed on,
// which are those of the user whom it runs as; "" for the one of this process.
func Environment(own []string, who string) ([]string, error) {
	env := map[string]string{}
	for _, key := range append(slices.Clip(Passed), clock.Variable) { // the latter in a lab only
		if value, ok := os.LookupEnv(key); ok {
			env[key] = value
		}
	}
	if who != "" {
		u, err := lookUp(who)
		if err != nil {
			return nil, err
		}
		env["HOME"], env["USER"], env["LOGNAME"] = u.HomeDir, u.Username, u.Username
		delete(env, "SHELL")
	}

	for _, variable := range own {
		key, value, _ := strings.Cut(variable, "=")
		env[key] = value
	}
	var list []string
	for _, key := range slices.Sorted(maps.Keys(env)) {
		list = append(list, key+"="+env[key])
	}
	return list, nil
}

// lookUp returns a user by name or number, whom this process may become.
func lookUp(who string) (*user.User, error) {
	u, err := user.Lookup(who)
	if err != nil {
		if u, err = user.LookupId(who); err != nil {
			return nil, errors.New("there is no such user on this machine")
		}
	}
	if uid := os.Getuid(); uid != 0 && u.Uid != strconv.Itoa(uid) {
		return nil, errors.New("only root can start servers of other users")
	}
	return u, nil
}
