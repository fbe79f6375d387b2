#!/bin/sh
# Fuzzes every fuzz test of the repository for FUZZTIME, two packages at a time; or those of one package.
#
#	./scripts/fuzz.sh [DIR]
set -eu
export GO="${GO:-go}" FUZZTIME="${FUZZTIME:-5s}"

if [ $# = 0 ]; then
  dirs=$(git ls-files -co --exclude-standard '*_test.go' | xargs grep -l '^func Fuzz' | grep -v /testdata/ |
    xargs -n 1 dirname | sort -u)
  [ -n "$dirs" ] || { echo "fuzz: no fuzz test found: run it in a git checkout, at the root of the repository" >&2; exit 1; }
  echo "$dirs" | xargs -n 1 -P 2 "$0"
  exit
fi

cd "$1"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
path=$("$GO" list .)
# For some number of inputs, the fuzzer watches the package alone: to compile all that it imports for the
# fuzzer as well takes longer than to try them.
watch=-fuzz=.
case $FUZZTIME in *x) watch=-gcflags=$path=-d=libfuzzer ;; esac
CGO_ENABLED=0 "$GO" test -c -vet=off "$watch" -o "$work/fuzz.test" .
# What the go command itself hands to a test that fuzzes.
found=$("$GO" env GOCACHE)/fuzz/$path

fuzz() {
  "$work/fuzz.test" -test.run '^$' -test.fuzz "^$1\$" -test.fuzztime "$FUZZTIME" -test.parallel 1 \
    -test.fuzzcachedir "$found" >"$log" 2>&1
}
for test in $(sed -n 's|^func \(Fuzz[A-Za-z0-9_]*\)(.*|\1|p' ./*_test.go); do
  # The fuzzer now and then takes the end of its own time for a failure, and says no more than that;
  # a failure that it has found an input for is final.
  fuzz "$test" || { ! grep -q 'Failing input' "$log" && grep -q 'context deadline exceeded' "$log" && fuzz "$test"; } || {
    cat "$log"
    exit 1
  }
  printf 'fuzz %-28s %s\n' "$1" "$test"
done
