package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/ensemble"
	"github.com/divisi-go/divisi/internal/home"
)

const site = `
[ensemble]
domain = "/test"
[servers."web@www/eu"]
program = "web"
follows = true
count = 2
own.1.size = 2
[servers.db]
program = "db"
config.name = "x"
[servers.none]
program = "none"
`

// TestWrite: each server has a file at one place, which only its user reads; one that is replaced when it changes is told its sum.
// What no server has is removed.
func TestWrite(t *testing.T) {
	e, err := ensemble.Parse("site.toml", site, ensemble.Said{})
	if err != nil {
		t.Fatal(err)
	}
	f := Of(home.Home{Dir: t.TempDir()}, "/test")
	told := map[string]string{}
	for _, s := range e.Servers() {
		env, err := f.Write(s)
		if err != nil {
			t.Fatal(err)
		}
		told[s.String()] = strings.Join(env, " ")
	}
	if got, want := told["web-1@/test/www/eu"], "DIVISI_CONFIG="+filepath.Join(f.dir, "web-1@www~eu.toml"); got != want {
		t.Errorf("it is told %s, want %s", got, want)
	}
	if got := told["db@/test"]; !strings.Contains(got, "db.toml DIVISI_CONFIG_SUM=") || told["none@/test"] != "" {
		t.Errorf("they are told %s and %s", got, told["none@/test"])
	}
	for file, want := range map[string]string{"web-0@www~eu.toml": "", "web-1@www~eu.toml": "size = 2\n", "db.toml": "name = 'x'\n"} {
		text, err := os.ReadFile(filepath.Join(f.dir, file))
		info, wrong := os.Stat(filepath.Join(f.dir, file))
		if err != nil || wrong != nil || string(text) != want || info.Mode() != 0o600 {
			t.Errorf("%s has %q, %v, %v", file, text, err, info)
		}
	}

	before := told["db@/test"]
	for text, same := range map[string]bool{site: true, strings.Replace(site, `"x"`, `"y"`, 1): false} {
		e, err := ensemble.Parse("site.toml", text, ensemble.Said{})
		if err != nil {
			t.Fatal(err)
		}
		env, err := f.Write(e.Servers()[2])
		if got := strings.Join(env, " "); err != nil || (got == before) != same {
			t.Errorf("it is told %s after %s, %v", got, before, err)
		}
	}
	less, err := ensemble.Parse("site.toml", strings.Replace(site, "count = 2", "count = 1", 1), ensemble.Said{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Keep(less); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(f.dir); err != nil || len(entries) != 2 {
		t.Errorf("%v stay, %v", entries, err)
	}
	if err := f.Keep(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.dir); !os.IsNotExist(err) {
		t.Errorf("the folder stays: %v", err)
	}
}

// TestOtherUser: where a server is of another user, that one can read its file, or is told what keeps it from that.
func TestOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives files to other users")
	}
	e, err := ensemble.Parse("site.toml", site+"user = \"nobody\"\nconfig.a = 1\n", ensemble.Said{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := Of(home.Home{Dir: dir}, "/test")
	none := e.Servers()[3]
	for mode, want := range map[os.FileMode]string{0o711: "", 0o700: "others cannot go through the state folder: chmod o+x " + dir} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		_, err := f.Write(none)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v", mode, err)
		}
	}
	info, err := os.Stat(f.dir)
	if err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("the folder is %v, %v", info, err)
	}
}
