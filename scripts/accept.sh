#!/bin/sh
# Harms the example store while customers visit it, and tells how many requests failed. Each part
# begins with a fresh store of two replicas of every group.
#
#	./scripts/accept.sh [PART...]
#
# The parts are term (kill PID of random replicas), kill (kill -9), freeze (a replica stands still
# for 5 s), pause (divisi run stands still for 6 s), keeper (kill -9 of the keeper), and upgrade (a
# change of the source, under --watch). COUNT is how often each happens; the defaults are those of the list below.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
GO=${GO:-go}
divisi=$root/build/divisi
work=$root/build/accept
rm -rf "$work"
mkdir -p "$work"
export DIVISI_HOME="$work/home" CGO_ENABLED=0
run= crowd=

stop() {
  [ -z "$crowd" ] || kill -INT "$crowd" 2>/dev/null || true
  [ -z "$run" ] || kill -CONT "$run" 2>/dev/null || true
  "$divisi" stop --all --yes >/dev/null 2>&1 || true
}
trap stop EXIT
trap 'exit 130' INT TERM

"${MAKE:-make}" --no-print-directory build
"$GO" build -o "$work/load" ./examples/shop/load

within() { # SECONDS COMMAND...: repeats a command until it succeeds

  tries=$(($1 * 5))
  shift
  until "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "not in time: $*" >&2; exit 1; }
    sleep 0.2
  done
}

running() { "$divisi" status shop -o json 2>/dev/null | grep -q '"state": "running"'; }
# pids: those of the store's replicas.
pids() { "$divisi" ps -o json | sed -n 's/^ *"pid": \([1-9][0-9]*\),$/\1/p'; }
one() { pids | shuf -n 1; }
upgrades() { grep -c ' runs$' "$work/err" || true; }

# The source of the store is a copy, so that it can be changed.
copy() {
  rm -rf "$work/src"
  mkdir "$work/src"
  git ls-files -co --exclude-standard | tar -cf - -T - | tar -xf - -C "$work/src"
}

begin() { # TARGET FLAGS...
  sed 's/localhost:9000/localhost:0/' examples/shop/shop.toml >"$work/shop.toml"
  "$divisi" run "$@" --name shop --config "$work/shop.toml" --replicas 2 --logs=false >"$work/out" 2>"$work/err" &
  run=$!
  within 120 running
  url=$(head -n 1 "$work/out")
  "$work/load" -url "$url" -duration 30m -users 8 -timeout 60s -errors "$work/errors" >"$work/report" &
  crowd=$!
}

end() { # PART COUNT
  within 120 running
  sleep 2
  kill -INT "$crowd"
  wait "$crowd" || true
  crowd=
  printf '%-8s %4d times: %s requests, %s failed\n' "$1" "$2" \
    "$(sed -n '1s/ .*//p' "$work/report")" "$(grep -c . "$work/errors" || true)"
  cp "$work/errors" "$work/errors.$1"
  cp "$work/err" "$work/err.$1"
  "$divisi" stop shop >/dev/null
  wait "$run" || true
  run=
}

for part in ${*:-term kill freeze pause keeper upgrade}; do
  case $part in
  term | kill | keeper) count=${COUNT:-30} ;;
  freeze) count=${COUNT:-10} ;;
  pause) count=${COUNT:-5} ;;
  upgrade) count=${COUNT:-20} ;;
  *)
    echo "usage: accept.sh [term] [kill] [freeze] [pause] [keeper] [upgrade]" >&2
    exit 2
    ;;
  esac
  if [ "$part" = upgrade ]; then
    copy
    begin "$work/src/examples/shop" --watch
  else
    "$GO" build -o "$work/shop" ./examples/shop
    begin "$work/shop"
  fi

  n=0
  while [ "$n" -lt "$count" ]; do
    n=$((n + 1))
    sleep 1
    case $part in
    term) kill "$(one)" && sleep 2 && within 60 running ;;
    kill) kill -9 "$(one)" && within 60 running ;;
    freeze) victim=$(one) && kill -STOP "$victim" && sleep 5 && kill -CONT "$victim" && within 60 running ;;
    pause) kill -STOP "$run" && sleep 6 && kill -CONT "$run" && within 60 running ;;
    keeper) kill -9 "$(cat "$DIVISI_HOME/keeper/lock")" && sleep 1 && within 60 running ;;
    upgrade)
      printf '\n// Change %d.\nconst change%d = %d\nvar _ = change%d\n' "$n" "$n" "$n" "$n" >>"$work/src/examples/shop/main.go"
      upgraded() { [ "$(upgrades)" -ge "$n" ]; }
      within 120 upgraded
      ;;
    esac
  done
  end "$part" "$count"
done
