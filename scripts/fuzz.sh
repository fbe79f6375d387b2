#!/bin/sh
# Fuzzes every fuzz test of the repository, one after the other, each for FUZZTIME.
set -eu
GO=${GO:-go} FUZZTIME=${FUZZTIME:-5s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fuzz() { # DIR NAME
  (cd "$1" && CGO_ENABLED=1 "$GO" test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -parallel 2 .) >"$log" 2>&1
}

for file in $(git ls-files -co --exclude-standard '*_test.go' | xargs grep -l '^func Fuzz' | grep -v /testdata/ | sort); do
  dir=$(dirname "$file")
  for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
    printf 'fuzz %-28s %s\n' "$dir" "$name"
    # The fuzzer now and then takes the end of its own time for a failure, and says no more than
    # that; a failure that it has found an input for is final.
    fuzz "$dir" "$name" || { ! grep -q 'Failing input' "$log" &&
      grep -q 'context deadline exceeded' "$log" && fuzz "$dir" "$name"; } || {
      cat "$log"
      exit 1
    }
  done
done
