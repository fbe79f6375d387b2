#!/bin/sh
# Starts the example store as twelve supervised processes, and stays until Ctrl-C, which drains
# them. With --check it looks at every page with a browser, uses every command once, kills a
# process and waits until it is back, stops, and says in its exit code whether all of it worked.
#
#	./scripts/demo.sh [--check]
#
# ADDRESS is where the store listens, by default as examples/shop/shop.toml says; with --check any
# free port.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
check=no
case "${1:-}" in
'') ;;
--check) check=yes ADDRESS=${ADDRESS:-localhost:0} ;;
*)
  echo "usage: demo.sh [--check]" >&2
  exit 2
  ;;
esac

GO=${GO:-go}
divisi=$root/build/divisi
demo=$root/build/demo
config=$root/examples/shop/shop.toml
export DIVISI_HOME="$demo/home"
mkdir -p "$demo"
pid= # of divisi run
ended= # the store has been stopped
tail=  # of tail, which shows events

fail() {
  echo "divisi: error: $1" >&2
  [ -z "${2:-}" ] || echo "divisi: hint: $2" >&2
  exit 1
}

# Times are in tenths of seconds where date knows them, else in whole ones.
case $(date +%N) in *[!0-9]* | '') now() { echo "$(($(date +%s) * 10))"; } ;; *)
  now() { t=$(date +%s%N) && echo "${t%????????}"; }
  ;;
esac
begin=$(now)
step_begin=$begin
seconds() { echo "$(($1 / 10)).$(($1 % 10)) s"; }
doing() { # WHAT: it takes long enough for a terminal to show it before it is done
  [ ! -t 1 ] || printf '  %s' "$1"
}
step() { # WHAT: it is done
  t=$(now)
  [ ! -t 1 ] || printf '\r'
  printf '  %-52s %8s\n' "$1" "$(seconds $((t - step_begin)))"
  step_begin=$t
}

# within SECONDS COMMAND...: repeat a command until it succeeds.
within() {
  tries=$(($1 * 5))
  shift
  until "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.2
  done
}

gone() { ! kill -0 "$1" 2>/dev/null; }
over() { [ -z "$pid" ] || gone "$pid"; }

stop() {
  [ -n "$pid" ] && [ -z "$ended" ] || return 0
  ended=yes
  "$divisi" stop --all --yes >/dev/null 2>&1 || true
  within 2 over && return
  kill -TERM "$pid" 2>/dev/null || true
  within 40 over || kill -KILL "$pid" 2>/dev/null || true
}
# divisi has the terminal's Ctrl-C as well, and drains: to ask for the same again does no harm.
trap 'stop; [ -z "$tail" ] || kill "$tail" 2>/dev/null || true' EXIT
trap 'trap "" INT TERM PIPE; stop; exit 130' INT TERM PIPE

echo "The store of examples/shop as twelve processes:"
# busy PORT: a program listens there. It is known on Linux before anything is built; elsewhere the
# start says it.
busy() {
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf ':%04X' "$1")" '
    $4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
    END { exit !found }'
}
address=${ADDRESS:-$(sed -n 's/^listeners\.shop = { address = "\([^"]*\)".*/\1/p' "$config" | tail -n 1)}
port=${address##*:}
taken() {
  fail "the store's port $port is taken" "end the program that has it, or choose another port: ADDRESS=localhost:9001 make demo"
}

if [ -x "$divisi" ] && "$divisi" ps -o json 2>/dev/null | grep -q '"name"'; then
  fail "the demo of this folder runs already" "stop it: DIVISI_HOME='$DIVISI_HOME' '$divisi' stop --all --yes"
fi
case $port in 0 | *[!0-9]* | '') ;; *) ! busy "$port" || taken ;; esac

# progress WHAT: on a terminal, counts the packages that the go command names on standard error as
# it compiles them.
progress() {
  if [ -t 1 ]; then
    awk -v what="$1" '/^[a-z0-9.\/_-]+$/ { printf "\r  %s: %d packages", what, ++n; fflush(); next } { print }'
  else
    grep -v '^[a-z0-9./_-]*$' || true
  fi
}
doing "build the command divisi"
{ "${MAKE:-make}" --no-print-directory build VERBOSE=-v 2>&1 || echo FAILED; } | tee "$demo/build" |
  progress "build the command divisi"
! grep -q '^FAILED$' "$demo/build" || fail "the command does not build"
step "build the command divisi"

doing "build the store"
(cd examples/shop && CGO_ENABLED=0 "$GO" build -o "$demo/shop" .) || fail "the store does not build"
step "build the store"

if [ -n "${ADDRESS:-}" ]; then
  sed "s/^\(listeners\.shop = { address = \"\)[^\"]*/\1$ADDRESS/" "$config" >"$demo/shop.toml"
  config=$demo/shop.toml
fi
: >"$demo/out"
"$divisi" run "$demo/shop" --config "$config" >"$demo/out" 2>"$demo/err" &
pid=$!
started() { [ -s "$demo/out" ] || over; }
within 30 started || fail "nothing started within 30 s: see $demo/err"
if over; then
  cat "$demo/err" >&2
  ! grep -q 'another program uses it' "$demo/err" || taken
  fail "the store did not start"
fi
step "start: the store's page answers"
ready() { grep -q 'runs as' "$demo/out" || over; }
within 60 ready || fail "not everything was ready within 60 s: see $demo/err"
over && {
  cat "$demo/err" >&2
  fail "the store ended by itself"
}
step "ready: all groups, all replicas"

page=$(head -n 1 "$demo/out")
live=$("$divisi" status | sed -n 's/^live page *//p')
victim=$(sed -n 's|^cart-0@/shop *\([0-9][0-9]*\).*|\1|p' "$demo/out")
[ -n "$victim" ] || fail "there is no replica cart-0@/shop: see $demo/out"

echo
echo "  the store  $page"
echo "  live page  $live"
sed '1d; /runs as/d' "$demo/out"
echo "In another terminal:"
echo
echo "  DIVISI_HOME='$DIVISI_HOME' '$divisi' ps"
echo "  kill -9 $victim"
echo "  DIVISI_HOME='$DIVISI_HOME' '$divisi' logs -f"
echo

if [ $check = no ]; then
  echo "Ctrl-C drains and stops everything. What happens:"
  echo
  tail -n +1 -f "$demo/err" & # in the background, so Ctrl-C does not end it before the store
  tail=$!
  wait "$pid" || fail "the store ended: see $demo/err"
  exit 0
fi

step_begin=$(now)
browser() {
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" && return
  done
  return 1
}
if ! browser >/dev/null && [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ]; then
  apt-get update >"$demo/apt" 2>&1 && apt-get install -y chromium >>"$demo/apt" 2>&1 ||
    fail "cannot install Chromium: see $demo/apt"
  step "install Chromium"
fi
if browser >/dev/null; then
  (cd e2e && "$GO" run ./browsercheck -browser "$(browser)" -screenshots "$root/build" "$page" "$live") ||
    fail "the browser found something wrong"
  step "every page in a browser"
elif [ "${CI:-}" = true ]; then
  fail "no browser" "install Chromium"
else
  step "SKIPPED: every page in a browser (no Chromium here)"
fi

try() { # EXPECTED-TEXT COMMAND...
  expected=$1
  shift
  "$divisi" "$@" >"$demo/try" 2>&1 || {
    cat "$demo/try" >&2
    fail "divisi $* failed"
  }
  grep -q -e "$expected" "$demo/try" || {
    cat "$demo/try" >&2
    fail "the output of divisi $* has no \"$expected\""
  }
  step "divisi $1"
}
try 'payment-1@/shop .*ready' ps
try 'shop is running' status shop
try 'the store is open' logs shop
# Calls are counted once a page has been looked at.
counted='^divisi_method_count.*shop'
curl -fsS -o "$demo/page" "$page" 2>/dev/null || wget -q -O "$demo/page" "$page" 2>/dev/null ||
  browser >/dev/null || counted=
try "$counted" metrics shop
try 'cart.Cart' callgraph "$demo/shop"
try '6 replicas profiled' profile shop --duration 1s --file "$demo/cpu.pprof"

# field REPLICA NAME: a field of a replica, out of the indented JSON of divisi ps.
field() {
  "$divisi" ps -o json | awk -v replica="\"$1\"," -v field="\"$2\":" '
    $1 == "\"name\":" { found = $2 == replica }
    found && $1 == field { gsub(/[",]/, "", $2); print $2; exit }'
}
pids=$("$divisi" ps -o json | sed -n 's/^ *"pid": \([0-9]*\),*$/\1/p')
[ "$(echo "$pids" | wc -l)" -eq 12 ] || fail "divisi ps shows other than 12 processes"
kill -9 "$victim"
back() { [ "$(field cart-0@/shop restarts)" = 1 ] && [ "$(field cart-0@/shop state)" = ready ]; }
within 20 back || fail "cart-0@/shop was not back 20 s after kill -9 $victim"
new=$(field cart-0@/shop pid)
[ "$new" != "$victim" ] || fail "cart-0@/shop has its old process $victim"
step "kill -9 $victim: cart-0@/shop is back as $new"

"$divisi" stop --all --yes >"$demo/try" || fail "divisi stop failed"
within 10 over || fail "divisi run goes on after divisi stop"
status=0
wait "$pid" || status=$?
ended=yes
[ $status = 0 ] || fail "divisi run ended with exit code $status: see $demo/err"
for p in $pids $new; do
  gone "$p" || fail "process $p is left"
done
step "divisi stop: drained, no process is left"
echo "All of it worked, in $(seconds $(($(now) - begin)))."
