package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/clock"
	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/lab/fabric"
)

func TestMain(m *testing.M) {
	lab.Enter()
	if os.Getenv("LAB_TEST_HOLD") != "" {
		os.Exit(hold())
	}
	if os.Getenv("LAB_TEST_CLOCK") != "" {
		fmt.Print(clock.Now().Unix() - time.Now().Unix())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hold makes a lab and prints its process, and stays until it is killed.
func hold() int {
	l, err := lab.Up(context.Background(), lab.Config{Hosts: 2})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	s, err := l.Status(context.Background())
	fmt.Println(s.Pid, err)
	select {}
}

// in runs a program on a host, which has to succeed.
func in(t *testing.T, h *lab.Host, args ...string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// TestHosts: each host has its own name, network, processes and files, and knows the others by name.
func TestHosts(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 3})
	for i, h := range l.Hosts() {
		want := fmt.Sprintf("host%d", i+1)
		if got := in(t, h, "uname", "-n"); got != want || h.Name() != want {
			t.Errorf("%s is called %q", want, got)
		}
		in(t, h, "sh", "-c", "test ! -e /tmp/mine && touch /tmp/mine && test -z \"$(ls /var/tmp)\"")
		if _, err := h.Exec(t.Context(), "touch", "/etc/divisi"); err == nil {
			t.Error("a host writes to /etc")
		}
	}

	server, err := l.Host("host3").Listen(t.Context(), "tcp", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c, err := l.Host("host1").Dial(t.Context(), "tcp", "host3:7000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got := accepted.RemoteAddr().String(); !strings.HasPrefix(got, l.Host("host1").Address()+":") {
		t.Errorf("host1 comes from %s", got)
	}
	if _, err := l.Host("host1").Dial(t.Context(), "tcp", "host2:7000"); err == nil {
		t.Error("host2 accepts what host3 listens for")
	}
}

// TestForbidden: where the device that makes networks is missing, or may not be opened, a lab says the way out, and its tests
// are skipped.
func TestForbidden(t *testing.T) {
	for way, script := range map[string]string{
		"load the module tun, or have the container show the device (no such file or directory)": "mount -t tmpfs none /dev/net",
		"have root run chmod 666 /dev/net/tun (permission denied)":                               "mount --bind /dev/net/tun /dev/net/tun; mount -o remount,bind,nodev /dev/net/tun",
	} {
		cmd := exec.Command("unshare", "-U", "-r", "-m", "sh", "-ec", script+`; exec "$0" -test.run TestHosts -test.v`, os.Args[0])
		cmd.Env = append(os.Environ(), "CI=")
		said, err := cmd.CombinedOutput()
		if err != nil && !strings.Contains(string(said), "TestHosts") && os.Getenv("CI") != "true" {
			t.Skipf("no namespace has another /dev: %v: %s", err, said)
		}
		if err != nil || !strings.Contains(string(said), way+"\n--- SKIP") {
			t.Errorf("%v, want %q:\n%s", err, way, said)
		}
	}
}

func TestExec(t *testing.T) {
	l := lab.New(t, lab.Config{})
	h := l.Host("host1")
	for _, c := range []struct {
		args []string
		want int
	}{{[]string{"true"}, 0}, {[]string{"sh", "-c", "exit 7"}, 7}, {[]string{"sh", "-c", "kill -9 $$"}, 137}} {
		exit, err := h.Run(t.Context(), lab.Command{Args: c.args})
		if err != nil || exit != c.want {
			t.Errorf("%v: %d, %v, want %d", c.args, exit, err, c.want)
		}
	}

	// What is in the background goes on, and its orphans are waited for.
	in(t, h, "sh", "-c", "sleep 1000 & echo $! > /tmp/pid")
	pid := in(t, h, "cat", "/tmp/pid")
	in(t, h, "kill", "-9", pid)
	in(t, h, "sh", "-c", "for i in $(seq 10000); do test -d /proc/"+pid+" || exit 0; done; exit 1")

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		in(t, h, "sh", "-c", "for i in $(seq 100000); do test -f /tmp/started && exit 0; done; exit 1")
		cancel()
	}()
	if _, err := h.Exec(ctx, "sh", "-c", "touch /tmp/started; sleep 1000"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	in(t, h, "sh", "-c", "for i in $(seq 1000); do cat /proc/[0-9]*/comm 2>/dev/null | grep -q sleep || exit 0; done; exit 1")
}

// TestRefusals: bad input is one line each.
func TestRefusals(t *testing.T) {
	for _, c := range []lab.Config{{Hosts: -1}, {Hosts: 201}, {Names: []string{"a", "a"}}, {Names: []string{"A"}}, {Names: []string{"localhost"}},
		{Share: []string{"/nowhere"}}, {Share: []string{"/tmp"}}} {
		if l, err := lab.Up(t.Context(), c); err == nil {
			l.Close()
			t.Errorf("%+v passes", c)
		}
	}

	l := lab.New(t, lab.Config{Hosts: 3, Chain: true})
	ctx := t.Context()
	ask := func(_ any, err error) error { return err }
	for want, err := range map[string]error{
		"no host \"host9\": ":                 ask(l.Host("host9").Exec(ctx, "true")),
		"no host \"hots1\": did you mean":     l.Change(ctx, "hots1", "host2", fabric.Cut()),
		"delay of -1s":                        l.Change(ctx, "host1", "host2", fabric.Change{Delay: new(-time.Second)}),
		"loss of 140 %":                       l.Change(ctx, "host1", "host2", fabric.Change{Loss: new(1.4)}),
		"host1 and host3 have no link":        l.Change(ctx, "host1", "host3", fabric.Heal()),
		"host1 has no link with itself":       l.Change(ctx, "host1", "host1", fabric.Heal()),
		"host1 has no program nothing in its": ask(l.Host("host1").Exec(ctx, "nothing")),
		"no program /nothing: share":          ask(l.Host("host1").Exec(ctx, "/nothing")),
		"no folder /nowhere: share":           ask(l.Host("host1").Run(ctx, lab.Command{Args: []string{"ls"}, Dir: "/nowhere"})),
		"host1 has power already":             l.Host("host1").Boot(ctx),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q in one line", err, want)
		}
	}
}

// TestPower: a power cut ends everything on a host, and takes its own files.
func TestPower(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 2})
	h := l.Host("host2")
	in(t, h, "sh", "-c", "touch /tmp/mine; sleep 1000 &")
	server, err := h.Listen(t.Context(), "tcp", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	if err := h.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Exec(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "no power") {
		t.Errorf("without power: %v", err)
	}
	if s, err := l.Status(t.Context()); err != nil || s.Hosts[1].Power || !s.Hosts[0].Power {
		t.Errorf("%+v, %v", s, err)
	}
	if err := h.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := in(t, h, "sh", "-c", "ls /tmp/mine 2>/dev/null; cat /proc/[0-9]*/comm 2>/dev/null | grep sleep || true"); got != "" {
		t.Errorf("after a power cut there is %q", got)
	}
}

// TestHostKilled: a host whose first process is killed has lost its power, and nothing else has happened.
func TestHostKilled(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 2})
	s, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in(t, l.Host("host1"), "sh", "-c", "sleep 1000 &")
	in(t, l.Host("host2"), "sh", "-c", "sleep 1000 &")
	first := family(s.Pid)[1]
	tree := append(family(first), first)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, pid := range tree {
		gone(t, pid)
	}

	for deadline := time.Now().Add(time.Minute); ; {
		s, err := l.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Hosts[0].Power != s.Hosts[1].Power {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, want one host without power", s.Hosts)
		}
	}
	for _, h := range l.Hosts() {
		_ = h.Boot(t.Context()) // which one it was
		in(t, h, "true")
	}
}

// TestDisk: a disk has a size, and outlives power cuts.
func TestDisk(t *testing.T) {
	l := lab.New(t, lab.Config{})
	h := l.Host("host1")
	if err := h.Disk(t.Context(), "/data", 1<<20); err != nil {
		t.Fatal(err)
	}
	in(t, h, "sh", "-c", "echo kept > /data/file")
	if _, err := h.Exec(t.Context(), "dd", "if=/dev/zero", "of=/data/large", "bs=1M", "count=2"); err == nil || !strings.Contains(err.Error(), "No space left") {
		t.Errorf("2 MB on a disk of 1 MB: %v", err)
	}
	for _, step := range []func(context.Context) error{h.Kill, h.Boot} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := in(t, h, "cat", "/data/file"); got != "kept" {
		t.Errorf("after a power cut the file has %q", got)
	}

	for want, err := range map[string]error{
		"has a disk at /data already": h.Disk(t.Context(), "/data", 1<<20),
		"a disk of 5 bytes":           h.Disk(t.Context(), "/other", 5),
		"mounted at \"data\"":         h.Disk(t.Context(), "data", 1<<20),
		"read-only for a host":        h.Disk(t.Context(), "/etc/divisi/data", 1<<20),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestClock: a clock is wrong for our own programs, on one host, also after a power cut.
func TestClock(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 2})
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	check := func(h *lab.Host, want int) {
		t.Helper()
		var wrong int
		text := in(t, h, "env", "LAB_TEST_CLOCK=1", program)
		if _, err := fmt.Sscan(text, &wrong); err != nil || wrong < want-1 || wrong > want {
			t.Errorf("the clock of %s is wrong by %q seconds, want %d", h.Name(), text, want)
		}
	}
	one, two := l.Host("host1"), l.Host("host2")
	check(one, 0)
	if err := one.Clock(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	check(one, 3600)
	check(two, 0)
	for _, step := range []func(context.Context) error{one.Kill, one.Boot} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check(one, 3600)
}

// TestStay: a lab that stays is found by its name, is one only, and leaves nothing.
func TestStay(t *testing.T) {
	name := t.TempDir()
	l, err := lab.Stay(t.Context(), lab.Config{Hosts: 2}, name)
	var forbidden *lab.ForbiddenError
	if errors.As(err, &forbidden) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Stay(t.Context(), lab.Config{}, name); !errors.Is(err, lab.ErrUp) {
		t.Errorf("a second lab: %v", err)
	}
	found, err := lab.Find(t.Context(), name)
	if err != nil || len(found.Hosts()) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	s, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, s.Pid)
	if _, err := lab.Find(t.Context(), name); !errors.Is(err, lab.ErrNone) {
		t.Errorf("after its end: %v", err)
	}
	if err := l.Down(t.Context()); !errors.Is(err, lab.ErrNone) {
		t.Errorf("a second end: %v", err)
	}
}

// TestKilled: nothing of a lab outlives who has made it, nor its own first process.
func TestKilled(t *testing.T) {
	lab.New(t, lab.Config{}) // or this system has none
	for _, victim := range []string{"owner", "lab"} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "LAB_TEST_HOLD=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Fscan(out, &pid); err != nil {
			t.Fatal(err)
		}
		all := family(pid)
		if len(all) != 3 {
			t.Errorf("the lab has the processes %v, want one and two hosts", all)
		}
		if victim == "lab" {
			syscall.Kill(pid, syscall.SIGKILL)
			for _, p := range all[1:] {
				gone(t, p)
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		for _, p := range all {
			gone(t, p)
		}
	}
}

// family returns a process and its children.
func family(pid int) []int {
	all := []int{pid}
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, e := range entries {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, e.Name()))
		for _, field := range strings.Fields(string(text)) {
			var child int
			fmt.Sscan(field, &child)
			all = append(all, child)
		}
	}
	return all
}

// gone waits until a process is not there any more, or only waited for.
func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(text), ") Z ") || strings.Contains(string(text), ") X ") {
			return
		}
	}
	t.Fatalf("process %d is still there", pid)
}

// TestChain: in a chain, the first host cannot reach the third one.
func TestChain(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 5, Chain: true})
	server := packets(t, l.Host("host3"))
	send(t, l.Host("host1"), "host3:7000", "far")
	send(t, l.Host("host2"), "host3:7000", "near")

	// What host1 has sent was dropped, and not only late: nothing of it ever was on a way.
	if got := next(t, server); got != "near" {
		t.Errorf("%q arrives at host3", got)
	}
	s, err := l.Status(t.Context())
	if err != nil || len(s.Links) != 8 {
		t.Fatalf("%+v, %v, want 8 links", s, err)
	}
	for _, link := range s.Links {
		if link.From == "host1" && (link.To != "host2" || link.Frames != 0) {
			t.Errorf("host1 has sent %+v", link)
		}
	}
}

// TestCut: a cut in one direction, in both, and what heals it.
func TestCut(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 3})
	ctx := t.Context()
	one, two, three := packets(t, l.Host("host1")), packets(t, l.Host("host2")), packets(t, l.Host("host3"))
	_ = three
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	check(l.ChangeWay(ctx, "host1", "host2", fabric.Cut()))
	send(t, l.Host("host1"), "host2:7000", "lost")
	frames(t, l, "host1", "host2", 1)
	send(t, l.Host("host3"), "host2:7000", "other")
	send(t, l.Host("host2"), "host1:7000", "back")
	if got := next(t, two); got != "other" {
		t.Errorf("%q arrives at host2", got)
	}
	if got := next(t, one); got != "back" {
		t.Errorf("%q arrives at host1", got)
	}

	check(l.Change(ctx, "host1", "host2", fabric.Cut()))
	send(t, l.Host("host2"), "host1:7000", "lost")
	frames(t, l, "host2", "host1", 2)
	check(l.Heal(ctx))
	send(t, l.Host("host2"), "host1:7000", "healed")
	if got := next(t, one); got != "healed" {
		t.Errorf("%q arrives at host1", got)
	}
}

// TestQuality: delay, loss and duplication that were asked for are what programs see. A busy machine delays more.
func TestQuality(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 2, Seed: 7})
	ctx := t.Context()
	h, server := l.Host("host1"), packets(t, l.Host("host2"))
	const delay = 50 * time.Millisecond
	if err := l.ChangeWay(ctx, "host1", "host2", fabric.Change{Delay: new(delay)}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		begin := time.Now()
		send(t, h, "host2:7000", "late")
		next(t, server)
		if took := time.Since(begin); took < delay {
			t.Errorf("%v, want %v at least", took, delay)
		}
	}

	const batches, batch = 50, 20
	for _, c := range []struct {
		name   string
		change fabric.Change
		want   float64
	}{
		{"loss", fabric.Change{Delay: new(time.Duration(0)), Loss: new(0.3)}, 0.7},
		{"duplication", fabric.Change{Loss: new(0.0), Duplicate: new(0.3)}, 1.3},
	} {
		if err := l.ChangeWay(ctx, "host1", "host2", c.change); err != nil {
			t.Fatal(err)
		}
		client, err := h.Dial(ctx, "udp", "host2:7000")
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()

		before := way(t, l, "host1", "host2")
		arrived := 0
		for i := range batches {
			for range batch {
				fmt.Fprint(client, c.name)
			}
			got := frames(t, l, "host1", "host2", before.Frames+uint64(batch*(i+1)))
			wanted := batch*(i+1) - int(got.Lost-before.Lost) + int(got.Doubled-before.Doubled)
			for ; arrived < wanted; arrived++ {
				next(t, server)
			}
		}
		if got := float64(arrived) / (batches * batch); got < c.want-0.06 || got > c.want+0.06 {
			t.Errorf("%s: %v of the frames arrive, want %v", c.name, got, c.want)
		}
	}
}

// packets is the socket on which a host receives.
func packets(t *testing.T, h *lab.Host) net.PacketConn {
	t.Helper()
	c, err := h.ListenPacket(t.Context(), "udp", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// send sends a datagram.
func send(t *testing.T, h *lab.Host, to, text string) {
	t.Helper()
	c, err := h.Dial(t.Context(), "udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, text)
}

// next returns what arrives next.
func next(t *testing.T, c net.PacketConn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	buffer := make([]byte, 100)
	n, _, err := c.ReadFrom(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

// way returns one direction of a link.
func way(t *testing.T, l *lab.Lab, from, to string) lab.LinkStatus {
	t.Helper()
	s, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range s.Links {
		if link.From == from && link.To == to {
			return link
		}
	}
	t.Fatalf("%s and %s have no link", from, to)
	return lab.LinkStatus{}
}

// frames waits until a number of frames has come to one direction of a link.
func frames(t *testing.T, l *lab.Lab, from, to string, count uint64) lab.LinkStatus {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		got := way(t, l, from, to)
		if got.Frames >= count {
			return got
		}
	}
	t.Fatalf("from %s to %s there are fewer than %d frames", from, to, count)
	return lab.LinkStatus{}
}
