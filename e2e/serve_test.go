package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// visiting is how a script visits the page at a port, all the time from begin to end, which fails if a visit
// has. Visits start no process: what they cost is the server's.
const visiting = `
dir=$(mktemp -d)
mkfifo $dir/never
page() {
	local code
	{
		printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&9
		read -r -t 60 _ code _ <&9
		[ "$code" = 200 ]
	} 9<>/dev/tcp/127.0.0.1/$port
}
visit() {
	set +x
	exec 8<>$dir/never
	until [ -e $dir/enough ]; do
		page || echo failed >>$dir/failed
		echo sent >>$dir/sent
		read -t 0.02 -u 8 || :
	done
}
sent() { wc -l <$dir/sent; }
more() {
	local before=$(sent)
	set +x
	for i in $(seq 600); do
		if [ "$(sent)" -ge $((before + 40)) ]; then set -x; return; fi
		sleep 0.1
	done
	return 1
}
begin() {
	touch $dir/sent
	visits=
	for i in 1 2 3 4; do visit & visits="$visits $!"; done
}
end() {
	touch $dir/enough
	wait $visits
	sent
	[ ! -e $dir/failed ]
}
`

// activatesSocket has the units in docs/serve.md run. While clients visit the page, the service is restarted,
// and none of them is refused. It is killed, and the socket starts it again.
func activatesSocket(t *testing.T, files string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	units := regexp.MustCompile("(?s)```ini\n# (web\\.[a-z]+)\n(.*?)```").FindAllSubmatch(text, -1)
	if len(units) != 2 {
		t.Fatalf("docs/serve.md has %d units", len(units))
	}

	for _, unit := range units {
		write(t, filepath.Join(files, "etc/systemd/system", string(unit[1])), unit[2], 0o644)
	}
	copyProgram(t, filepath.Join(files, "usr/local/bin/web"), buildWeb(t))

	return visiting + `
port=8080
pid() { systemctl show web -p MainPID --value; }
is() { for want; do systemctl show web | grep -x "$want"; done; }

systemctl start web.socket
is ActiveState=inactive
page
is ActiveState=active

begin
for i in 1 2 3; do
	more
	first=$(pid)
	systemctl restart web
	[ "$(pid)" != "$first" ]
done
more
end

systemctl reset-failed web
first=$(pid)
kill -KILL "$first"
while [ -e "/proc/$first" ]; do sleep 0.1; done
page
is ActiveState=active

systemctl stop web.socket web
is ActiveState=inactive Result=success
`
}
