//go:build unix

package home

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// environment sets the folders of a test, whose paths are short enough for sockets.
func environment(t *testing.T) (state, runtime string) {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	state, runtime = filepath.Join(root, "s"), filepath.Join(root, "r")
	t.Setenv("DIVISI_HOME", state)
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	return state, runtime
}

// find returns the folders, which must be usable.
func find(t *testing.T) Home {
	t.Helper()
	h, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// claim takes a domain until the end of the test.
func claim(t *testing.T, h Home, path string) *Claim {
	t.Helper()
	c, err := h.Domain(path).Claim()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Release() })
	return c
}

// listen opens a socket; left has it stay when its listener is gone.
func listen(t *testing.T, path string, left bool) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(!left)
	t.Cleanup(func() { l.Close() })
	if left {
		l.Close()
	}
}

// tree lists what is in a folder, with its permissions.
func tree(t *testing.T, root string) []string {
	t.Helper()
	list := []string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(root, path)
		list = append(list, info.Mode().String()+" "+rel)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return list
}

func TestStateFolder(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "/nowhere")
	t.Setenv("HOME", filepath.Join(root, "home"))
	for _, c := range []struct{ divisi, xdg, want string }{
		{"", "", "home/.local/state/divisi"},
		{"", "xdg", "xdg/divisi"},
		{"own", "xdg", "own"},
	} {
		for key, value := range map[string]string{"DIVISI_HOME": c.divisi, "XDG_STATE_HOME": c.xdg} {
			if value != "" {
				value = filepath.Join(root, value)
			}
			t.Setenv(key, value)
		}
		if h := find(t); h.Dir != filepath.Join(root, c.want) {
			t.Errorf("%+v: %s", c, h.Dir)
		}
	}
	if left := tree(t, root); len(left) != 1 {
		t.Errorf("looking has made %q", left)
	}
}

// A folder has one name, however it is reached.
func TestLinkedFolder(t *testing.T) {
	state, _ := environment(t)
	direct := find(t)
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	link := state + "-link"
	if err := os.Symlink(state, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{state, link, link + "/../s"} {
		t.Setenv("DIVISI_HOME", path)
		if h := find(t); h != direct {
			t.Errorf("by %s: %+v, want %+v", path, h, direct)
		}
	}
}

func TestRuntimeFolder(t *testing.T) {
	_, runtime := environment(t)
	one := find(t)
	if filepath.Dir(one.Runtime) != filepath.Join(runtime, "divisi") {
		t.Errorf("it is %s", one.Runtime)
	}
	t.Setenv("DIVISI_HOME", "/elsewhere")
	if two := find(t); two.Runtime == one.Runtime {
		t.Errorf("two state folders share %s", two.Runtime)
	}

	for _, ignored := range []string{"", "relative"} {
		t.Setenv("XDG_RUNTIME_DIR", ignored)
		if h := find(t); !strings.HasPrefix(h.Runtime, "/tmp/divisi-") {
			t.Errorf("with %q it is %s", ignored, h.Runtime)
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(runtime, strings.Repeat("x", 60)))
	if h, err := Find(); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("too long: %+v, %v", h, err)
	}
}

// The arrangement of the folders is what other programs, and later versions of this one, rely on.
func TestLayout(t *testing.T) {
	state, _ := environment(t)
	h := find(t)
	c := claim(t, h, "/shop")
	listen(t, c.Door, false)
	listen(t, filepath.Join(c.Calls, "0123456789ab.sock"), false)
	if err := os.MkdirAll(c.Logs, 0o700); err != nil {
		t.Fatal(err)
	}

	if got, want := tree(t, state), []string{
		"drwx--x--x .",
		"drwx------ domains",
		"drwx------ domains/shop",
		"-rw------- domains/shop/lock",
		"-rw------- layout",
		"drwx------ logs",
		"drwx------ logs/shop",
	}; !slices.Equal(got, want) {
		t.Errorf("the state folder has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if text, err := os.ReadFile(filepath.Join(state, "layout")); string(text) != "1\n" {
		t.Errorf("the layout is %q, %v", text, err)
	}
	if got := h.CAS(); got != filepath.Join(state, "cas") {
		t.Errorf("programs are in %s", got)
	}
	if c.Versions != filepath.Join(state, "domains/shop/versions") {
		t.Errorf("records of versions are in %s", c.Versions)
	}
	var sockets []string
	for _, line := range tree(t, h.Runtime) {
		sockets = append(sockets, strings.Fields(line)[1])
	}
	if want := []string{".", "shop.d", "shop.d/0123456789ab.sock", "shop.sock"}; !slices.Equal(sockets, want) {
		t.Errorf("the runtime folder has %q, want %q", sockets, want)
	}
	if doors, err := h.Doors(); err != nil || !slices.Equal(doors, []string{c.Door}) {
		t.Errorf("doors %q, %v", doors, err)
	}
}

// The domains with records of versions are found, whatever they are called.
func TestDomains(t *testing.T) {
	environment(t)
	h := find(t)
	if paths, err := h.Domains(); err != nil || paths != nil {
		t.Errorf("without a state folder: %q, %v", paths, err)
	}
	domains := []string{"/", "/shop", "/shop/eu", "/versions", "/shop/versions"}
	for _, domain := range domains {
		if err := os.MkdirAll(h.Domain(domain).Versions, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(h.Domain("/none").State, 0o700); err != nil {
		t.Fatal(err)
	}
	paths, err := h.Domains()
	slices.Sort(paths)
	slices.Sort(domains)
	if err != nil || !slices.Equal(paths, domains) {
		t.Errorf("got %q, %v, want %q", paths, err, domains)
	}
}

// However long a name is, its sockets can be opened, and are no other's.
func TestLongNames(t *testing.T) {
	_, runtime := environment(t)
	room := maxSocketPath - socketRoom - len("/divisi/0123456789ab")
	t.Setenv("XDG_RUNTIME_DIR", runtime+strings.Repeat("r", room-len(runtime)))
	h := find(t)
	long := strings.Repeat("n", 99)
	seen := map[string]bool{}
	for _, path := range []string{"/" + long + "1", "/" + long + "2", "/" + long + "/eu", "/n/n", "/n-n", "/keeper"} {
		c := claim(t, h, path)
		listen(t, c.Door, false)
		listen(t, filepath.Join(c.Calls, "0123456789ab.sock"), false)
		if seen[c.Door] || len(filepath.Join(c.Calls, "0123456789ab.sock")) > maxSocketPath {
			t.Errorf("%s is at %s and in %s", path, c.Door, c.Calls)
		}
		seen[c.Door] = true
	}
	if seen[h.Keeper().Door] {
		t.Error("a domain has the door of the keeper")
	}
}

// The keeper has its part as a domain has, and its door is none of an application.
func TestKeeper(t *testing.T) {
	environment(t)
	h := find(t)
	c, err := h.Keeper().Claim()
	if err != nil {
		t.Fatal(err)
	}
	listen(t, c.Door, false)
	if _, err := h.Keeper().Claim(); !errors.Is(err, ErrTaken) {
		t.Errorf("claimed again: %v", err)
	}
	if doors, err := h.Doors(); err != nil || len(doors) > 0 {
		t.Errorf("doors %q, %v", doors, err)
	}
	if at, err := At(h.Dir); err != nil || at != h {
		t.Errorf("at %s: %v, %v; want %v", h.Dir, at, err, h)
	}
	if err := c.Release(); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		make func(t *testing.T, state, runtime string) error
		want string
	}{
		"unknown layout": {func(t *testing.T, state, _ string) error {
			return errors.Join(os.Mkdir(state, 0o700), os.WriteFile(state+"/layout", []byte("7\n"), 0o600))
		}, `has layout "7", and this divisi knows layout 1: use the divisi that made it, or set DIVISI_HOME`},
		"earlier form": {func(t *testing.T, state, _ string) error {
			return errors.Join(os.MkdirAll(state+"/apps/shop", 0o700),
				os.WriteFile(state+"/apps/shop/journal.ndjson", nil, 0o600))
		}, "/apps (the logs in it are plain files), or set DIVISI_HOME"},
		"file": {func(t *testing.T, state, _ string) error {
			return os.WriteFile(state, nil, 0o600)
		}, "is not a folder: remove it, or set DIVISI_HOME"},
		"open state folder": {func(t *testing.T, state, _ string) error {
			return errors.Join(os.Mkdir(state, 0o700), os.Chmod(state, 0o777|os.ModeSticky))
		}, "is open to other users: chmod 755 "},
		"open runtime folder": {func(t *testing.T, _, runtime string) error {
			return os.MkdirAll(runtime+"/divisi", 0o755)
		}, "is open to other users: chmod 700 "},
		"link": {func(t *testing.T, _, runtime string) error {
			return errors.Join(os.Mkdir(runtime, 0o700), os.Symlink("/nowhere", runtime+"/divisi"))
		}, "is a symbolic link, which may lead anywhere: remove it, or set XDG_RUNTIME_DIR"},
		"another user's": {func(t *testing.T, state, _ string) error {
			if os.Getuid() != 0 {
				t.Skip("only root can make a folder of another user")
			}
			return errors.Join(os.Mkdir(state, 0o700), os.Chown(state, 65534, 65534))
		}, "belongs to another user: remove it, or set DIVISI_HOME"},
	} {
		t.Run(name, func(t *testing.T) {
			state, runtime := environment(t)
			if err := c.make(t, state, runtime); err != nil {
				t.Fatal(err)
			}
			before := tree(t, filepath.Dir(state))
			_, err := Find()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found: %v; want %q", err, c.want)
			}
			if after := tree(t, filepath.Dir(state)); !slices.Equal(before, after) {
				t.Errorf("looking has changed %q to %q", before, after)
			}
		})
	}
}

// The permissions of a folder that was there stay as they are.
func TestFolderOfTheUser(t *testing.T) {
	state, _ := environment(t)
	if err := errors.Join(os.Mkdir(state, 0o755), os.Chmod(state, 0o755), os.Mkdir(state+"/apps", 0o755)); err != nil {
		t.Fatal(err)
	}
	claim(t, find(t), "/shop")
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("it has %v, %v", info.Mode(), err)
	}
}

func TestTaken(t *testing.T) {
	environment(t)
	h := find(t)
	c := claim(t, h, "/shop")
	listen(t, c.Door, false)
	again, err := h.Domain("/shop").Claim()
	if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("a second claim: %v, %v", again, err)
	}
	if other := claim(t, h, "/shop-2"); other.Door == c.Door {
		t.Errorf("two domains have the door %s", c.Door)
	}
}

// One whose door is gone is about to end, and is waited for.
func TestClaimAfterTheEnd(t *testing.T) {
	environment(t)
	h := find(t)
	c := claim(t, h, "/shop")
	next := make(chan error)
	go func() {
		again, err := h.Domain("/shop").Claim()
		if err == nil {
			err = again.Release()
		}
		next <- err
	}()
	if err := c.Release(); err != nil {
		t.Error(err)
	}
	if err := <-next; err != nil {
		t.Errorf("a claim while the one before ends: %v", err)
	}
}

// What killed processes leave in the runtime folder goes with the next claim, and the folder with the
// last one.
func TestLeftovers(t *testing.T) {
	_, runtime := environment(t)
	h := find(t)
	for _, path := range []string{"/shop", "/old", "/fresh"} {
		d := h.Domain(path)
		if err := os.MkdirAll(d.Calls, 0o700); err != nil {
			t.Fatal(err)
		}
		listen(t, d.Door, true)
		listen(t, filepath.Join(d.Calls, "0123456789ab.sock"), true)
	}
	long := time.Now().Add(-2 * leftAge)
	if err := os.Chtimes(h.Domain("/old").Door, long, long); err != nil {
		t.Fatal(err)
	}

	c := claim(t, h, "/shop")
	var left []string
	for _, line := range tree(t, h.Runtime) {
		left = append(left, strings.Fields(line)[1])
	}
	if want := []string{".", "fresh.d", "fresh.d/0123456789ab.sock", "fresh.sock", "shop.d"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
	fresh := claim(t, h, "/fresh")
	if err := errors.Join(fresh.Release(), c.Release()); err != nil {
		t.Error(err)
	}
	if left := tree(t, runtime); len(left) != 1 {
		t.Errorf("the runtime folder still has %q", left)
	}
}

// Those who come and those who leave at the same time do not disturb each other.
func TestComingAndGoing(t *testing.T) {
	environment(t)
	h := find(t)
	done := make(chan error)
	domains := []string{"/a", "/b", "/c", "/d"}
	for _, path := range domains {
		go func() {
			var err error
			for range 50 {
				var c *Claim
				if c, err = h.Domain(path).Claim(); err != nil {
					break
				}
				var l net.Listener
				if l, err = net.Listen("unix", c.Door); err != nil {
					break
				}
				l.Close()
				if err = c.Release(); err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range domains {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestServlets: what is executed is where nobody else can exchange it, or nowhere.
func TestServlets(t *testing.T) {
	user := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(user, "cache"))
	dir, err := Servlets()
	if err != nil || dir != filepath.Join(user, "cache", "divisi", "servlets") {
		t.Fatal(dir, err)
	}
	for _, open := range []string{dir, filepath.Dir(dir), user} {
		before, err := os.Stat(open)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(open, 0o777); err != nil {
			t.Fatal(err)
		}
		if dir, err := Servlets(); err == nil || !strings.Contains(err.Error(), open+" is open to other users") {
			t.Errorf("while %s is open: %s, %v", open, dir, err)
		}
		if err := os.Chmod(open, before.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(user); err != nil {
		t.Fatal(err)
	}
	if dir, err := Servlets(); err == nil {
		t.Errorf("a user without a folder has %s", dir)
	}
}
