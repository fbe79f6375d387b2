package ssh

import (
	"strings"
	"testing"
)

// TestDestination: user@host:port is read as people write it.
func TestDestination(t *testing.T) {
	for text, want := range map[string]string{
		"anne@eu": "anne@eu", "anne@eu:22": "anne@eu", "anne@eu:2222": "anne@eu:2222", "ssh://anne@eu": "anne@eu",
		"anne@[::1]:2222": "anne@[::1]:2222", "anne@[::1]": "anne@::1", "anne@::1": "anne@::1", "a@b@eu": "a@b@eu",
	} {
		if d, err := parseDestination(text); err != nil || d.String() != want {
			t.Errorf("%s is %v, %v", text, d, err)
		}
	}
	if d, err := parseDestination("eu"); err != nil || d.user == "" || d.address() != "eu:22" {
		t.Errorf("%+v, %v", d, err)
	}
	for _, text := range []string{"", "anne@", "anne@:22", "anne@eu:", "anne@[::1", "anne@e u", "eu/x"} {
		if d, err := parseDestination(text); err == nil || !strings.Contains(err.Error(), "write user@host:port") {
			t.Errorf("%q is %+v, %v", text, d, err)
		}
	}
}

// FuzzDestination: what somebody calls a machine has a user, a host and a port, or is an error.
func FuzzDestination(f *testing.F) {
	f.Add("anne@eu:2222")
	f.Add("[::1]:22")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDestination(text)
		if err == nil && (d.user == "" || d.host == "" || d.port == "") {
			t.Errorf("%q is %+v", text, d)
		}
	})
}
