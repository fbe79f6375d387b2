//go:build unix

package keepertest

import (
	"errors"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/keepertest/desk"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/memfd"
)

// secrets: each process of a server reads all of a secret, from the descriptor in its variable; it is
// in no argument and no variable, and nobody writes it.
func secrets(t *testing.T, d *desk.Desk) {
	f, err := memfd.New("key", []byte("swordfish"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(d.Ctx, domain, "web/key", f); err != nil {
		t.Fatal(err)
	}

	s := desk.Shell("web", `
		eval "cat <&$KEY"; echo
		case "$(env; cat /proc/$$/cmdline 2>/dev/null)" in *sword''fish*) echo leaked;; esac
		(echo x >"/dev/fd/$KEY") 2>/dev/null && echo written
		exit 3`)
	s.Secrets, s.Policy = []keeper.Inherit{{Key: "web/key", As: "KEY"}}, desk.Quick(lifecycle.Transient)
	p := d.Begin(t, s)
	d.Await(t, p.ID)
	again := d.Until(t, "web", d.Until(t, "web", 0, keeper.Waits).Number, keeper.Started)
	d.Await(t, again.ID)
	if _, err := d.Stop(d.Ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	lines := d.Log(t, "web")
	if len(lines) < 2 {
		t.Errorf("the log is %v", lines)
	}
	for _, l := range lines {
		if l["msg"] != "swordfish" {
			t.Errorf("it says %v", l["msg"])
		}
	}

	s.Secrets[0].Key = "web/other"
	if _, err := d.Start(d.Ctx, s); !errors.Is(err, keeper.ErrUnknown) || !strings.Contains(err.Error(), "web/other") {
		t.Errorf("a secret that is not there: %v", err)
	}
}
