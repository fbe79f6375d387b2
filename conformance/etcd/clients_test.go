package etcd

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestClients: etcdctl and etcdutl do with the store what they can with one member.
func TestClients(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, filepath.Join(dir, "data"))
	for _, step := range []struct{ command, says string }{
		{"put a 1", "OK"},
		{"put b 2 --prev-kv", "OK"},
		{"get a --print-value-only", "1\n"},
		{"get --from-key a --count-only -w fields", `"Count" : 2`},
		{"get a b --keys-only", "a\n"},
		{"get a --consistency=s -w json", `"kvs"`},
		{"del b --prev-kv", "1\nb\n2\n"},
		{"lease grant 600", "granted with TTL(600s)"},
		{"lease list", "found 1 leases"},
		{"endpoint status", p.url},
		{"endpoint health", "is healthy"},
		{"endpoint hashkv", p.url},
		{"member list", "started, default"},
		{"defrag", "Finished defragmenting"},
		{"compact 2", "compacted revision 2"},
		{"compact --physical 3", "compacted revision 3"},
		{"get --rev 1 a", "required revision has been compacted"},
		{"alarm list", ""},
		{"lock l echo in the lock", "in the lock"},
		{"move-leader 1", "bad leader transferee"},
		{"version", "etcdctl version"},
		{"downgrade validate 3.6", "invalid downgrade target version"},
		{"downgrade enable 3.6", "invalid downgrade target version"},
		{"downgrade enable x", "wrong downgrade target version format"},
		{"downgrade cancel", "3.7"},
	} {
		out, err := p.try(t, strings.Fields(step.command)...)
		if !strings.Contains(out, step.says) {
			t.Errorf("etcdctl %s says %q and not %q: %v", step.command, out, step.says, err)
		}
	}
	p.transaction(t)
	p.commands(t)
	p.watch(t)
	p.elect(t)
	p.users(t)
	p.json(t)
	p.pages(t)

	file := filepath.Join(dir, "snapshot")
	p.tool(t, "snapshot", "save", file)
	status, err := run(t, "etcdutl", "snapshot", "status", file)
	if err != nil || !strings.Contains(status, "3.7.0") {
		t.Errorf("etcdutl snapshot status says %q: %v", status, err)
	}
	restored := filepath.Join(dir, "restored")
	if out, err := run(t, "etcdutl", "snapshot", "restore", file, "--data-dir", restored); err != nil {
		t.Fatalf("etcdutl snapshot restore: %v\n%s", err, out)
	}
	if err := p.end(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM ends the store with %v", err)
	}
	again := serve(t, restored)
	if got := again.tool(t, "get", "a", "--print-value-only"); got != "1\n" {
		t.Errorf("the restored store has %q", got)
	}
	restore(t, file)
}

// restore: a folder that the store has made of a snapshot is served by etcd.
func restore(t *testing.T, file string) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	out, err := run(t, "divisi-store", "restore", file, "--data", data, "--bump-revision", "1000", "--mark-compacted")
	if err != nil || !strings.Contains(out, "those before are compacted") {
		t.Errorf("divisi store restore says %q: %v", out, err)
	}
	etcd := serveEtcd(t, data)
	if got := etcd.tool(t, "get", "a", "--print-value-only"); got != "1\n" {
		t.Errorf("etcd finds %q in what was restored", got)
	}
	if got := etcd.tool(t, "member", "list"); !strings.Contains(got, "started, default") {
		t.Errorf("etcd finds the members %q", got)
	}
	if got, _ := etcd.try(t, "get", "a", "--rev", "5"); !strings.Contains(got, "has been compacted") {
		t.Errorf("etcd has the past: %q", got)
	}
	etcd.tool(t, "put", "a", "more")
	_ = etcd.end(syscall.SIGKILL)
	out, err = run(t, "divisi-store", "recover", "--data", data, "-o", "json")
	if err != nil || !strings.Contains(out, `"former":"`) {
		t.Errorf("divisi store recover says %q: %v", out, err)
	}
	if got := serve(t, data).tool(t, "get", "a", "--print-value-only"); got != "more\n" {
		t.Errorf("the recovered store has %q", got)
	}
}

// serveEtcd starts etcd with a folder.
func serveEtcd(t *testing.T, data string) *program {
	t.Helper()
	url, peers := "http://"+freeAddress(t), "http://"+freeAddress(t)
	etcd := exec.Command(filepath.Join(binaries, "etcd"), "--data-dir", data, "--log-outputs", "stdout",
		"--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peers)
	p := started(t, etcd, "ready to serve client requests")
	p.url = url
	return p
}

// commands are those of the store, which serve for etcd as well.
func (p *program) commands(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snapshot")
	for _, step := range []struct{ command, says string }{
		{"put STORE c/1 one", ""},
		{"put STORE c/2 -", ""},
		{"get STORE c/1", "one\n"},
		{"get STORE --prefix c/", "c/1=one\nc/2=\n"},
		{"delete STORE c/2", ""},
		{"status STORE", " leads, revision "},
		{"compact STORE", " is forgotten\n"},
		{"compact STORE 1", "required revision has been compacted"},
		{"defrag STORE", " is defragmented\n"},
		{"disarm STORE", ""},
		{"snapshot STORE " + file, file + " has "},
	} {
		command := strings.Replace(step.command, "STORE", "--store=etcd://"+strings.TrimPrefix(p.url, "http://"), 1)
		out, _ := run(t, "divisi-store", strings.Fields(command)...)
		if !strings.Contains(out, step.says) {
			t.Errorf("divisi store %s says %q and not %q", command, out, step.says)
		}
	}
	status, err := run(t, "etcdutl", "snapshot", "status", file)
	if err != nil {
		t.Errorf("etcdutl snapshot status: %v\n%s", err, status)
	}
}

func (p *program) transaction(t *testing.T) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "etcdctl"), "--endpoints", p.url, "txn")
	cmd.Stdin = strings.NewReader("value(\"a\") = \"1\"\n\nput t then\nget a\n\nput t else\n\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "SUCCESS") || p.tool(t, "get", "t", "--print-value-only") != "then\n" {
		t.Errorf("etcdctl txn says %q: %v", out, err)
	}
}

// watch watches keys from a revision of the past on.
func (p *program) watch(t *testing.T) {
	t.Helper()
	out := p.tool(t, "put", "w1", "x", "-w", "fields")
	revision := ""
	for line := range strings.Lines(out) {
		if after, found := strings.CutPrefix(line, `"Revision" : `); found {
			revision = strings.TrimSpace(after)
		}
	}
	cmd := exec.Command(filepath.Join(binaries, "etcdctl"), "--endpoints", p.url, "watch", "w", "--prefix", "--rev", revision, "--prev-kv")
	lines := begin(t, cmd)
	p.tool(t, "put", "w2", "y")
	p.tool(t, "del", "w1")
	p.tool(t, "put", "end", "no event")
	want := []string{"PUT", "w1", "x", "PUT", "w2", "y", "DELETE", "w1", "x", "w1", ""}
	for i, w := range want {
		if !lines.Scan() || lines.Text() != w {
			t.Errorf("line %d of etcdctl watch is %q and not %q", i, lines.Text(), w)
			return
		}
	}
}

// begin starts a command that goes on, and returns what it prints.
func begin(t *testing.T, cmd *exec.Cmd) *bufio.Scanner {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return bufio.NewScanner(out)
}

func (p *program) elect(t *testing.T) {
	t.Helper()
	first := begin(t, exec.Command(filepath.Join(binaries, "etcdctl"), "--endpoints", p.url, "elect", "e", "first"))
	first.Scan() // the key, by which others find it
	if !strings.HasPrefix(first.Text(), "e/") {
		t.Errorf("etcdctl elect says %q", first.Text())
	}
	observer := begin(t, exec.Command(filepath.Join(binaries, "etcdctl"), "--endpoints", p.url, "elect", "-l", "e"))
	observer.Scan()
	observer.Scan()
	if observer.Text() != "first" {
		t.Errorf("etcdctl elect -l says %q", observer.Text())
	}
}

// users switches users on, and sees that nobody else may do anything.
func (p *program) users(t *testing.T) {
	t.Helper()
	for _, command := range []string{
		"user add root:secret", "user grant-role root root", "role add reader", "role grant-permission reader read a",
		"user add ann:pass", "user grant-role ann reader", "auth enable",
	} {
		p.tool(t, strings.Fields(command)...)
	}
	for _, step := range []struct{ command, says string }{
		{"get a", "user name is empty"},
		{"--user ann:pass get a", "a\n1\n"},
		{"--user ann:wrong get a", "authentication failed"},
		{"--user ann:pass put a 2", "permission denied"},
		{"--user ann:pass get b", "permission denied"},
		{"--user ann:pass watch a b", "permission denied"},
		{"--user ann:pass watch a --prefix", "permission denied"},
		{"--user ann:pass watch a --rev 1 b", "permission denied"},
		{"--user ann:pass compact 3", "permission denied"},
		{"--user ann:pass snapshot save " + filepath.Join(t.TempDir(), "s"), "permission denied"},
		{"--user root:secret role get reader", "KV Read:\n\ta"},
		{"--user root:secret user list", "ann"},
		{"--user root:secret auth disable", "Authentication Disabled"},
	} {
		out, err := p.try(t, strings.Fields(step.command)...)
		if !strings.Contains(out, step.says) {
			t.Errorf("etcdctl %s says %q and not %q: %v", step.command, out, step.says, err)
		}
	}
}

// pages: what orchestrators and dashboards ask.
func (p *program) pages(t *testing.T) {
	t.Helper()
	client := http.Client{Timeout: time.Minute}
	for path, says := range map[string]string{
		"/health": `"health":"true"`, "/health?exclude=NOSPACE&serializable=true": `"reason":""`, "/livez": "ok\n",
		"/readyz?verbose": "[+]linearizable_read ok\n[+]non_learner ok\nok\n", "/readyz/data_corruption?verbose": "[+]data_corruption ok\nok\n",
		"/readyz?verbose&exclude=non_learner": "[+]linearizable_read ok\nok\n",
		"/version":                            `"etcdserver":"3.7.`, "/metrics": "etcd_server_has_leader 1",
	} {
		r, err := client.Get(p.url + path)
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(text), says) {
			t.Errorf("%s is %s, and does not say %q: %.300s", path, r.Status, says, text)
		}
	}
}

// TestFolder: a folder goes to etcd and comes back, and has everything. Values of package discover follow both.
func TestFolder(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := serve(t, data)
	p.tool(t, "put", "k", "of the store")
	p.tool(t, "lease", "grant", "600")
	p.end(syscall.SIGKILL)

	real := serveEtcd(t, data)
	if got := real.tool(t, "get", "k", "--print-value-only"); got != "of the store\n" {
		t.Errorf("etcd finds %q", got)
	}
	if got := real.tool(t, "lease", "list"); !strings.Contains(got, "found 1 leases") {
		t.Errorf("etcd finds the leases %q", got)
	}
	real.source(t)
	real.tool(t, "put", "k", "of etcd")
	real.end(syscall.SIGKILL)

	back := serve(t, data)
	if got := back.tool(t, "get", "k", "--print-value-only"); got != "of etcd\n" {
		t.Errorf("the store finds %q", got)
	}
	back.source(t)
}

// freeAddress returns one that nobody listens at, nor will: it is of a network that others do not know.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
