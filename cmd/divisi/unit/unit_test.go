package unit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/home"
)

// newUnit returns the unit of a user, in folders of the test, and a file with what systemctl is asked.
func newUnit(t *testing.T) (u *Unit, asked string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there is no systemd on Windows")
	}
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("HOME", dir)
	t.Setenv("TMPDIR", "/nowhere") // the test's program stays
	bin := filepath.Join(dir, "bin")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	asked = filepath.Join(dir, "asked")
	script := "#!/bin/sh\necho $* >>" + asked + "\n"
	if err := errors.Join(os.Mkdir(bin, 0o700), os.WriteFile(filepath.Join(bin, "systemctl"), []byte(script), 0o700)); err != nil {
		t.Fatal(err)
	}
	h, err := home.At(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	u, err = New(h, true)
	if err != nil {
		t.Fatal(err)
	}
	return u, asked
}

func do(t *testing.T, p *Plan, err error) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	steps := p.Steps()
	done, err := p.Do(t.Context())
	if err != nil || !slices.Equal(done, steps) {
		t.Errorf("done is %q of %q, %v", done, steps, err)
	}
	return done
}

// TestInstall: what is planned is done, once; a file that somebody has changed stays unless it is to be
// replaced; and everything is taken back.
func TestInstall(t *testing.T) {
	u, asked := newUnit(t)
	install := func(replace bool) []string {
		t.Helper()
		p, err := u.Install(replace)
		return do(t, p, err)
	}
	record := "write " + u.Home.UnitFile()
	want := []string{"write " + u.File, record, "systemctl --user enable " + Name, "systemctl --user start " + Name}
	if got := install(false); !slices.Equal(got, want) {
		t.Errorf("the first time it does %q", got)
	}
	if text, err := os.ReadFile(u.File); err != nil || string(text) != u.Text() {
		t.Errorf("the file is %s, %v", text, err)
	}
	if got, err := u.Home.Unit(); err != nil || got != (home.Unit{Name: Name, User: true, Runtime: u.Home.Runtime}) {
		t.Errorf("the home has %+v, %v", got, err)
	}
	want[0] = "leave " + u.File + " as it is"
	if got := install(false); !slices.Equal(got, want) {
		t.Errorf("the second time it does %q", got)
	}

	changed := strings.Replace(u.Text(), "Restart=always", "Restart=no", 1)
	if err := os.WriteFile(u.File, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	var differs *Differs
	if _, err := u.Install(false); !errors.As(err, &differs) || differs.Lines != "-Restart=no\n+Restart=always\n" {
		t.Errorf("a changed file: %v", err)
	}
	want[0], want[3] = "write "+u.File, "systemctl --user restart "+Name
	if got := install(true); !slices.Equal(got, want) {
		t.Errorf("to replace it, it does %q", got)
	}

	if err := os.Remove(asked); err != nil {
		t.Fatal(err)
	}
	p, err := Uninstall(u.Home)
	do(t, p, err)
	if text, err := os.ReadFile(asked); err != nil || string(text) != "--user disable --now "+Name+"\n--user daemon-reload\n" {
		t.Errorf("systemctl is asked %q, %v", text, err)
	}
	if _, err := os.Stat(u.File); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	if _, err := Uninstall(u.Home); !errors.Is(err, ErrNone) && os.Geteuid() != 0 {
		t.Errorf("a second time: %v", err)
	}
}

// TestRefused: a unit that could not run, or that is another one's, is not touched.
func TestRefused(t *testing.T) {
	u, _ := newUnit(t)
	expect := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error is %v, want %q", err, text)
		}
	}
	t.Setenv("TMPDIR", filepath.Dir(u.Program))
	expect(u.check(), "does not stay there")
	t.Setenv("TMPDIR", "/nowhere")
	expect((&Unit{Program: "/a\nb"}).check(), `the path "/a\nb"`)
	expect((&Unit{Program: "/bin/sh", Home: home.Home{Runtime: "/run/user/0/divisi/a"}}).check(), "env -u XDG_RUNTIME_DIR")
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.WriteFile(open, nil, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	expect(checkOwner(open), "others than root may change "+open)

	if err := u.Home.SetUnit(home.Unit{Name: Name, Runtime: u.Home.Runtime}); err != nil {
		t.Fatal(err)
	}
	_, err := u.Install(false)
	expect(err, "another unit runs the keeper")

	other := *u
	other.Home.Dir += "-other"
	if err := errors.Join(other.write(other.Text()), u.Home.SetUnit(u.record())); err != nil {
		t.Fatal(err)
	}
	_, err = Uninstall(u.Home)
	expect(err, "of another folder")
}

// TestFails: a step that fails is said with what systemd says, and what was done before is known.
func TestFails(t *testing.T) {
	u, _ := newUnit(t)
	p, err := u.Install(false)
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(os.Getenv("HOME"), "bin", "systemctl")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\necho it is masked\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	done, err := p.Do(context.Background())
	if err == nil || len(done) != 2 || !strings.Contains(err.Error(), "systemctl --user enable "+Name+" failed: exit status 1: it is masked") {
		t.Errorf("done is %q, %v", done, err)
	}
}

// TestText: paths are what systemd makes of them again.
func TestText(t *testing.T) {
	u := &Unit{Program: `/opt/a "b"/100%/$HOME/divisi`, Home: home.Home{Dir: `/srv/c\d $X`}}
	text := u.Text()
	for _, line := range []string{
		`ExecStart=@"/opt/a \"b\"/100%%/$HOME/divisi" divisi keeper "/srv/c\\d $$X"`,
		`Environment="DIVISI_KEEPER=/srv/c\\d $X"`, "WantedBy=multi-user.target", "Wants=network-online.target",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is not in\n%s", line, text)
		}
	}
	u.User = true
	if text := u.Text(); strings.Contains(text, "network") || !strings.Contains(text, "WantedBy=default.target\n") {
		t.Errorf("of a user it is\n%s", text)
	}
}
