package inherit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// roleVar makes the test's binary a child that says what it has inherited.
const roleVar = "INHERIT_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(roleVar) == "any" {
		list, err := Descriptors()
		fmt.Println(list, err)
	}
	deployed := Deployed()
	files, err := Take()
	fmt.Println("deployed", deployed, Deployed(), files.In != nil, files.Out != nil, err)
	if files.Envelope != "" {
		fmt.Println("dials", files.Envelope)
	}
	if later, _ := Take(); later.In != nil || later.Envelope != "" || later.Sockets != files.Sockets {
		fmt.Println("the same again:", later)
	}
	for _, name := range files.Sockets.Unclaimed() {
		l, _ := files.Sockets.Claim(name, false)
		fmt.Println("socket", name, l.Addr())
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "LISTEN_") || strings.HasSuffix(strings.Split(v, "=")[0], "_FD") || strings.HasPrefix(v, Envelope) {
			fmt.Println("left", v)
		}
	}
}

func TestEnvironment(t *testing.T) {
	env := []string{"A=1", "LISTEN_FDS=9", "LISTEN_PID=1", "NOTIFY_SOCKET=/x", ToWeavelet + "=7", "MINE_FD=3"}
	got := Environment(env, []string{"web", "admin"}, []string{"MINE_FD", ToEnvelope})
	want := []string{"A=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=web:admin", "MINE_FD=5", ToEnvelope + "=6"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Environment(env, nil, nil); !slices.Equal(got, []string{"A=1", "MINE_FD=3"}) {
		t.Errorf("without anything: %q", got)
	}
	dials := []string{Envelope + "=unix:///x"}
	if got := Environment(dials, []string{"web"}, nil); !slices.Contains(got, dials[0]) {
		t.Errorf("of a child that dials: %q", got)
	}
	if got := Environment(dials, nil, []string{ToWeavelet, ToEnvelope}); slices.Contains(got, dials[0]) {
		t.Errorf("of a child with pipes: %q", got)
	}
}

func TestTake(t *testing.T) {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	socket, err := web.(*net.TCPListener).File()
	if err != nil {
		t.Skipf("sockets cannot be shared here: %v", err)
	}
	defer socket.Close()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()

	for name, tc := range map[string]struct {
		files []*os.File
		env   []string
		want  []string
	}{
		"from a deployer": {
			[]*os.File{socket, in, out}, Environment(os.Environ(), []string{"web"}, []string{ToWeavelet, ToEnvelope}),
			[]string{"deployed true false true true <nil>", "socket web " + web.Addr().String()},
		},
		"whatever it is": {
			[]*os.File{in, socket}, append(os.Environ(), roleVar+"=any", "LISTEN_FDS=2", "LISTEN_FDNAMES=pipe"),
			[]string{"[{pipe 3} { 4}] <nil>", "deployed false false false false <nil>"},
		},
		"not open": {
			[]*os.File{in}, append(os.Environ(), roleVar+"=any", "LISTEN_FDS=70"),
			[]string{"[] the inherited socket  (descriptor ", "deployed false false false false <nil>"},
		},
		"to dial": {
			[]*os.File{socket}, append(Environment(os.Environ(), []string{"web"}, nil), Envelope+"=unix:///a/b"),
			[]string{"deployed true false false false <nil>", "dials /a/b", "socket web " + web.Addr().String()},
		},
		"to dial, or pipes": {
			[]*os.File{in, out}, append(Environment(os.Environ(), nil, []string{ToWeavelet, ToEnvelope}), Envelope+"=unix:///a/b"),
			[]string{"deployed true false false false <nil>", "dials /a/b"},
		},
		"no path": {
			nil, append(os.Environ(), Envelope+"=unix://a/b"),
			[]string{"deployed true false false false the environment variable " + Envelope + ` is "unix://a/b": `},
		},
		"from systemd, without names": {
			[]*os.File{socket}, append(os.Environ(), "LISTEN_FDS=1"),
			[]string{"deployed false false false false <nil>", "socket  " + web.Addr().String()},
		},
		"for somebody else": {
			[]*os.File{socket}, append(os.Environ(), "LISTEN_FDS=1", "LISTEN_PID=1"),
			[]string{"deployed false false false false <nil>"},
		},
		"no socket": {
			[]*os.File{in}, append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=web"),
			[]string{"deployed false false false false the inherited socket web (descriptor 3) is not usable: "},
		},
		"no number": {
			nil, append(os.Environ(), ToWeavelet+"=x"),
			[]string{"deployed true false false false the environment variable " + ToWeavelet + ` is "x": `},
		},
		"no count": {
			nil, append(os.Environ(), "LISTEN_FDS=x"),
			[]string{`deployed false false false false the environment variable LISTEN_FDS is "x": `},
		},
		"nothing": {nil, os.Environ(), []string{"deployed false false false false <nil>"}},
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append([]string{roleVar + "=child"}, tc.env...)
		cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0")
		cmd.ExtraFiles = tc.files
		text, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSpace(string(text)), "\n")
		if !slices.EqualFunc(got, tc.want, strings.HasPrefix) {
			t.Errorf("%s: the child says %q, want %q", name, got, tc.want)
		}
	}
}

func TestClaim(t *testing.T) {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	const exact, only, first = "exact", "only", "first"
	for _, tc := range []struct {
		have, asked, how string
		want             bool
	}{
		{"web", "web", exact, true}, {"web.socket", "web", exact, true}, {"web.socket", "web.socket", exact, true},
		{"web", "admin", exact, false}, {"", "web", exact, false},
		{"web", "admin", only, true}, {",admin", "web", only, false}, {",web", "web", only, true},
		{"", "web", first, true}, {"unknown", "web", first, true}, {"shop.socket", "web", first, true},
		{"admin", "web", first, false}, {"a.socket,b.socket", "web", first, false},
		{"a.socket,web.socket", "web", first, true}, {"a.socket,web.socket", "a", first, true},
	} {
		var list []Socket
		for name := range strings.SplitSeq(tc.have, ",") {
			list = append(list, Socket{name, web})
		}
		sockets := NewSockets(list...)
		claim := func(name string) (net.Listener, bool) {
			if tc.how == first {
				return sockets.ClaimFirst(name)
			}
			return sockets.Claim(name, tc.how == only)
		}
		got, ok := claim(tc.asked)
		if ok != tc.want || ok != (got != nil) {
			t.Errorf("of %q, %s %s: %v, %v", tc.have, tc.how, tc.asked, got, ok)
		}
		if _, twice := claim(tc.asked); ok && twice {
			t.Errorf("of %q, %s %s is claimed twice", tc.have, tc.how, tc.asked)
		}
		if left := len(sockets.Unclaimed()); ok == (left == len(list)) {
			t.Errorf("of %q, %s %s: %d are left", tc.have, tc.how, tc.asked, left)
		}
	}
	var none *Sockets
	if _, ok := none.Claim("web", true); ok || none.Unclaimed() != nil {
		t.Error("there is a socket where there are none")
	}
}
