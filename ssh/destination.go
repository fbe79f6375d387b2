package ssh

import (
	"fmt"
	"net"
	"os/user"
	"strings"
)

// destination is a user of a machine.
type destination struct{ user, host, port string }

// parseDestination reads user@host:port.
func parseDestination(text string) (destination, error) {
	d := destination{port: "22"}
	d.host = strings.TrimPrefix(text, "ssh://")
	if i := strings.LastIndex(d.host, "@"); i >= 0 {
		d.user, d.host = d.host[:i], d.host[i+1:]
	}
	if strings.HasPrefix(d.host, "[") || strings.Count(d.host, ":") == 1 {
		host, port, err := net.SplitHostPort(d.host)
		if err != nil && strings.HasSuffix(d.host, "]") {
			host, port, err = strings.Trim(d.host, "[]"), d.port, nil
		}
		if err != nil {
			return d, fmt.Errorf("%q is no machine: %w: write user@host:port", text, err)
		}
		d.host, d.port = host, port
	}
	if d.host == "" || d.port == "" || strings.ContainsAny(d.host, " \t\n/") {
		return d, fmt.Errorf("%q is no machine: write user@host:port, where user and port may be left out", text)
	}
	if d.user != "" {
		return d, nil
	}

	me, err := user.Current()
	if err != nil {
		return d, fmt.Errorf("nobody knows this user: write user@%s: %w", d.host, err)
	}
	d.user = me.Username
	return d, nil
}

// address returns where the machine is reached.
func (d destination) address() string { return net.JoinHostPort(d.host, d.port) }

// String returns the destination as people write it.
func (d destination) String() string {
	if d.port == "22" {
		return d.user + "@" + d.host
	}
	return d.user + "@" + d.address()
}

// unless22 returns some words and the port if that is not 22.
func (d destination) unless22(words string) string {
	if d.port == "22" {
		return ""
	}
	return words + d.port
}
