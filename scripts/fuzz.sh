#!/bin/sh
# Fuzzes every fuzz test of the repository for FUZZTIME, two at a time; or one of them.
#
#	./scripts/fuzz.sh [DIR NAME]
set -eu
export GO="${GO:-go}" FUZZTIME="${FUZZTIME:-5s}"

if [ $# = 0 ]; then
  files=$(git ls-files -co --exclude-standard '*_test.go' | xargs grep -l '^func Fuzz' | grep -v /testdata/ | sort)
  [ -n "$files" ] || { echo "fuzz: no fuzz test found: run it in a git checkout, at the root of the repository" >&2; exit 1; }
  for file in $files; do
    sed -n "s|^func \(Fuzz[A-Za-z0-9_]*\)(.*|$(dirname "$file") \1|p" "$file"
  done | xargs -n 2 -P 2 "$0"
  exit
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
fuzz() {
  (cd "$1" && CGO_ENABLED=0 "$GO" test -vet=off -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -parallel 1 .) >"$log" 2>&1
}
# The fuzzer now and then takes the end of its own time for a failure, and says no more than that;
# a failure that it has found an input for is final.
fuzz "$@" || { ! grep -q 'Failing input' "$log" && grep -q 'context deadline exceeded' "$log" && fuzz "$@"; } || {
  cat "$log"
  exit 1
}
printf 'fuzz %-28s %s\n' "$1" "$2"
