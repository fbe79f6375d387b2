package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// keepsKeeper is a script: while clients visit a server, systemd comes to run its keeper, and starts it again
// when it is killed; the sockets come back from systemd, and no client sees anything of it.
const keepsKeeper = visiting + `
export PATH=/usr/local/bin:$PATH DIVISI_HOME=/var/lib/divisi
port=8181
unit=/etc/systemd/system/divisi-keeper.service
keeper() { systemctl show divisi-keeper -p MainPID --value; }
is() { for want; do systemctl show divisi-keeper | grep -x "$want"; done; }
field() { grep -m 1 "\"$1\":" | tr -dc 0-9; }
web() { divisi status web -o json | field pid; }
held() { [ "$(divisi keeper status -o json | grep -c '"held": "'$1'"')" = 2 ]; }
same() { [ "$(web)" = "$server" ]; page; }

# Before there is a unit, the keeper is of the first client.
divisi start web --listen web=:8181 --ready notify -- /usr/local/bin/web
divisi start idle --listen idle=:8182 -- sleep 1000
server=$(web)
before=$(divisi keeper status -o json | field pid)
begin

divisi keeper install --dry-run | grep -x KillMode=process
[ ! -e $unit ]
divisi keeper install | tee /tmp/installed
grep -x "write $unit" /tmp/installed
is ActiveState=active UnitFileState=enabled 'StatusText=servers: 2, sockets: 2'
grep "process $(keeper) is the keeper" /tmp/installed
[ "$(keeper)" != "$before" ]
held getfd
same

for i in 1 2 3; do
	more
	killed=$(keeper)
	kill -KILL $killed
	held store
	[ "$(keeper)" != $killed ]
	is ActiveState=active
	same
done
systemctl restart divisi-keeper
held store
same

# The next program of the same process has systemd as its supervisor, too.
running=$(keeper)
divisi keeper upgrade
[ "$(keeper)" = $running ]
same
kill -KILL $running
held store
same

# Servers stay when the unit is stopped, and the next client has systemd start it.
systemctl stop divisi-keeper
is ActiveState=inactive
page
kill -0 $server
held getfd
is ActiveState=active
same

# One that is there already, and one that somebody has changed.
running=$(keeper)
divisi keeper install | grep -x "leave $unit as it is"
[ "$(keeper)" = $running ]
sed -i s/RestartSec=.*/RestartSec=7s/ $unit
if divisi keeper install 2>/tmp/differs; then exit 1; fi
grep -x -e -RestartSec=7s /tmp/differs
divisi keeper install --replace
grep RestartSec=500ms $unit
held store
same

# What is closed is closed in systemd as well.
divisi stop idle
divisi start other --listen other=:8182 -- sleep 1000
[ "$(divisi keeper status -o json | grep -c :8182)" = 1 ]

divisi keeper uninstall
[ ! -e $unit ]
same
end
divisi keeper stop --yes
`

// keepsKeeperOfUser is a script: the same for a user's own manager.
const keepsKeeperOfUser = `
useradd --create-home ann
cat >/run/systemd/system/manager.service <<'END'
[Service]
Type=notify
User=ann
Delegate=yes
RuntimeDirectory=ann
RuntimeDirectoryMode=0700
Environment=XDG_RUNTIME_DIR=/run/ann HOME=/home/ann
ExecStart=/lib/systemd/systemd --user
END
systemctl daemon-reload
systemctl start manager
ann() { runuser -u ann -- env -i HOME=/home/ann XDG_RUNTIME_DIR=/run/ann PATH=/usr/local/bin:/usr/bin:/bin "$@"; }
keeper() { ann systemctl --user show divisi-keeper -p MainPID --value; }
held() { [ "$(ann divisi keeper status -o json | grep -c '"held": "'$1'"')" = 1 ]; }

ann divisi keeper install --user
ann divisi start web --listen web=:8183 --ready notify -- /usr/local/bin/web
held own
killed=$(keeper)
kill -KILL $killed
held store
[ "$(keeper)" != $killed ]
curl --fail --silent --output /dev/null http://localhost:8183/
ann divisi stop web
ann divisi keeper uninstall
`

// watchesKeeper is a script: systemd starts a keeper again that hangs, and nothing that it holds is lost.
const watchesKeeper = `
export PATH=/usr/local/bin:$PATH DIVISI_HOME=/var/lib/watched
mkdir $DIVISI_HOME
cat >/run/systemd/system/watched.service <<END
[Service]
Type=notify
NotifyAccess=main
Environment=DIVISI_KEEPER=$DIVISI_HOME XDG_RUNTIME_DIR=/run/watched
RuntimeDirectory=watched
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
ExecStart=/usr/local/bin/divisi keeper $DIVISI_HOME
$(divisi keeper install --dry-run | grep -E '^(Restart|RestartSec|WatchdogSec|KillMode|FileDescriptorStoreMax)=')
END
systemctl daemon-reload
systemctl start watched
export XDG_RUNTIME_DIR=/run/watched
divisi start web --listen web=:8184 --ready notify -- /usr/local/bin/web
server=$(divisi status web -o json | grep -m 1 '"pid":')
hung=$(systemctl show watched -p MainPID --value)
kill -STOP $hung
for i in $(seq 600); do systemctl show watched | grep -x NRestarts=1 && break; sleep 0.1; done
journalctl -u watched --no-pager | grep "Watchdog timeout (limit 30s)"
[ "$(systemctl show watched -p MainPID --value)" != $hung ]
[ "$(divisi status web -o json | grep -m 1 '"pid":')" = "$server" ]
divisi keeper status -o json | grep '"held": "store"'
curl --fail --silent --output /dev/null http://localhost:8184/
`

// leavesServers and findsServers are scripts, of two starts of one machine, which loses its power between
// them: what has a policy runs again at its address, and how all of it has ended is known to be that.
const (
	leavesServers = `
export PATH=/usr/local/bin:$PATH DIVISI_HOME=/mnt/divisi
divisi keeper install
divisi start web --listen web=:8185 --ready notify -- /usr/local/bin/web
divisi start once --restart temporary -- sleep 1000
curl --fail --silent --output /dev/null http://localhost:8185/
cp /etc/systemd/system/divisi-keeper.service /mnt

# The keeper sees nothing of the end.
mkdir /run/systemd/system/divisi-keeper.service.d
printf '[Service]\nRestart=no\n' >/run/systemd/system/divisi-keeper.service.d/once.conf
systemctl daemon-reload
kill -KILL $(systemctl show divisi-keeper -p MainPID --value)
`
	findsServers = `
export PATH=/usr/local/bin:$PATH DIVISI_HOME=/mnt/divisi
cp /mnt/divisi-keeper.service /etc/systemd/system
systemctl daemon-reload
systemctl start divisi-keeper
for i in $(seq 300); do curl --fail --silent --output /dev/null http://localhost:8185/ && break; sleep 0.1; done
divisi status web -o json | grep '"state": "ready"'
divisi keeper status -o json | grep '"held": "relisten"'
if divisi status once; then exit 1; fi
divisi exits -o json | tee /tmp/exits
[ "$(grep -c '"how": "reboot"' /tmp/exits)" = 2 ]
`
)

// TestReboot: after a restart of the machine the keeper starts again what is to run.
func TestReboot(t *testing.T) {
	needSystemd(t)
	t.Parallel()
	left := t.TempDir()
	files := t.TempDir()
	if err := os.Chmod(files, 0o755); err != nil { // it becomes the root of a file system
		t.Fatal(err)
	}
	copyProgram(t, filepath.Join(files, "usr/local/bin/divisi"), buildDivisi(t))
	copyProgram(t, filepath.Join(files, "usr/local/bin/web"), os.Args[0])
	underSystemd(t, files, left, map[string]string{"leaves": leavesServers})
	underSystemd(t, files, left, map[string]string{"finds": findsServers})
}
