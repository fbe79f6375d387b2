package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestServeUnderSystemd has systemd run the units in docs/serve.md. While clients visit the page, the
// service is restarted, and none of them is refused. It is killed, and the socket starts it again.
func TestServeUnderSystemd(t *testing.T) {
	needSystemd(t)
	text, err := os.ReadFile("../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	units := regexp.MustCompile("(?s)```ini\n# (web\\.[a-z]+)\n(.*?)```").FindAllSubmatch(text, -1)
	if len(units) != 2 {
		t.Fatalf("docs/serve.md has %d units", len(units))
	}

	files := t.TempDir()
	if err := os.Chmod(files, 0o755); err != nil { // it becomes the root of a file system
		t.Fatal(err)
	}
	for _, unit := range units {
		write(t, filepath.Join(files, "etc/systemd/system", string(unit[1])), unit[2], 0o644)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(files, "usr/local/bin/web"), "../examples/web")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	underSystemd(t, files, `
page() { curl --fail --silent --show-error --max-time 60 --output /dev/null http://localhost:8080/; }
visit() { until [ -e /tmp/enough ]; do page || echo failed >>/tmp/failed; echo sent >>/tmp/sent; done; }
sent() { cat /tmp/sent | wc -l; }
more() { local before=$(sent); for i in $(seq 600); do [ "$(sent)" -ge $((before + 20)) ] && return; sleep 0.1; done; return 1; }
pid() { systemctl show web -p MainPID --value; }
is() { for want; do systemctl show web | grep -x "$want"; done; }

systemctl start web.socket
is ActiveState=inactive
page
is ActiveState=active

set +x
touch /tmp/sent
visits=
for i in 1 2 3 4; do visit & visits="$visits $!"; done
for i in 1 2 3; do
	more
	first=$(pid)
	systemctl restart web
	[ "$(pid)" != "$first" ]
done
more
touch /tmp/enough
wait $visits
set -x
sent
[ ! -e /tmp/failed ]

systemctl reset-failed web
first=$(pid)
kill -KILL "$first"
while [ -e "/proc/$first" ]; do sleep 0.1; done
page
is ActiveState=active

systemctl stop web.socket web
is ActiveState=inactive Result=success
`)
}
