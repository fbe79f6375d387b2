#!/bin/sh
# Prints those of some packages whose tests the race detector watches; with --not, the others.
#
#	./scripts/watched.sh [--not] PACKAGE...
set -eu
cd "$(dirname "$0")/.."
flags=-Fx
[ "$1" != --not ] || { flags=-vFx && shift; }

# The detector would find nothing in packages without goroutines: they start none, lock nothing, serve nobody,
# and run no components. Nor in these, which start nothing but type checkers, or start processes and look at
# them from outside; make soak has the detector watch e2e and cmd/divisi/cli. Nor in the store, for which all of
# etcd would be compiled once more; make soak has it watched too.
concurrent='^[[:blank:]]*go [[:alpha:](]|\.Parallel\(\)|/divisitest"|"(sync|sync/atomic|net|net/http|os/exec|os/signal|testing/synctest)"'
outside='^\./(e2e|store|conformance/(etcd|consul)|cmd/divisi/cli|internal/gen|internal/arch|cmd/divisigen)(/|$)'
watched=$(grep -rlE --include='*.go' "$concurrent" . | xargs -n 1 dirname | sort -u | grep -vE "$outside" |
  sed 's|^\.|github.com/divisi-go/divisi|')
"${GO:-go}" list "$@" | grep "$flags" "$watched"
