#!/bin/sh
# Runs the long forms of tests, or those parts of them that are named, one after another. A part that fails does
# not keep those after it from running: what has failed is said in the end. Everything that a part says is in
# build/soak/PART.log, what it has found on the terminal as well. What might go on for ever takes SOAK each.
#
#	./scripts/soak.sh [PART...]
set -u
cd "$(dirname "$0")/.." || exit
GO=${GO:-go} SOAK=${SOAK:-10m}
logs=$PWD/build/soak
mkdir -p "$logs" || exit

parts="fuzz e2e conformance web clients tree upgrades faults dial limits takeover system kills hosts orderd httpd replaced store"

long() { # DIR ARGUMENT...: tests without an end to their time
  dir=$1
  shift
  cd "$dir" && "$GO" test -count=1 -timeout 0 -v "$@"
}

part() {
  case $1 in
  fuzz) GO="$GO" FUZZTIME=5000x ./scripts/fuzz.sh ;;
  e2e) GORACE=atexit_sleep_ms=10 CGO_ENABLED=1 long e2e -race ./... github.com/divisi-go/divisi/cmd/divisi/cli ;;
  conformance) DIVISI_SOAK=$SOAK long conformance -run TestServiceWeaver . ;;
  web) DIVISI_SOAK=$SOAK long examples/web -run TestRestart . ;;
  clients) DIVISI_SOAK=$SOAK long internal/keeper/door -run 'TestRace|TestStoppedClient' . ;;
  tree) long internal/tree -run TestRandom . -args -long ;;
  upgrades) long internal/keeper/door -run 'TestUpgrades$' . -args -upgrades 50 -children 1000 ;;
  faults) DIVISI_SOAK=$SOAK long e2e -run 'TestFaults|TestSystemd' . ;;
  dial) DIVISI_SOAK=$SOAK long e2e -run TestFirstDial . ;;
  limits) long e2e ./limits -args -long ;;
  takeover) DIVISI_SOAK=$SOAK long e2e ./takeover -args -kills 100 -upgrades 20 -keepers 20 -pause 8ms ;;
  system) long e2e ./system -args -kills 100 -upgrades 50 -rounds 20 -pause 8ms ;;
  kills) long e2e -run TestKillUnderLoad ./processes -args -kills 20 ;;
  hosts)
    (long e2e ./hosts -args -kills 10 -cut 30s -machine) && (long examples/orderd -run TestFleet . -args -hosts 3 -keepers 10 -cut 30s) &&
      long system -run TestInstall . -args -megabytes 50
    ;;
  orderd) long examples/orderd -run 'Killed|Upgraded' . -args -kills 20 -upgrades 50 -orders 50000 ;;
  replaced) long e2e -run TestScripts/httpd-workers . -args -replacements 20 ;;
  httpd) long httpd -run TestIdle . -args -idle 10000 ;;
  store)
    (long store -run TestWorlds ./internal/drive -args -seeds 1000) &&
      (long store -run TestWorlds ./internal/world -args -seeds 200 -turns 40) &&
      (long store -run TestHerd ./consulapi -args -watchers 2000) &&
      (CGO_ENABLED=1 long store -race ./...) &&
      (long conformance -run TestOracle -count 20 ./etcd) &&
      (long conformance -run TestLoad ./etcd -args -load 20) &&
      (long conformance -run TestKeeper ./etcd -args -keeper) &&
      (long conformance -run TestKill ./etcd -args -kills 500) &&
      long conformance -run 'TestPoints|TestPlants|TestDisks' ./etcd -args -every -cuts 50
    ;;
  *)
    echo "no part $1: the parts are $parts"
    return 2
    ;;
  esac
}

failed=
for name in ${*:-$parts}; do
  echo "soak $name"
  begin=$(date +%s)
  verdict=passed
  (part "$name") >"$logs/$name.log" 2>&1 || verdict=FAILED
  grep -E '^ *--- |_test\.go:[0-9]+: |^(ok|FAIL|panic|fuzz|no part)' "$logs/$name.log"
  echo "soak $name: $verdict after $(($(date +%s) - begin)) s"
  [ $verdict = passed ] || failed="$failed $name"
done

[ -z "$failed" ] || {
  echo "failed:$failed; what they have said is in $logs"
  exit 1
}
