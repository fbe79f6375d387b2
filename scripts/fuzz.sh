#!/bin/sh
# Fuzzes every fuzz test of the repository, one after the other, each for FUZZTIME.
set -eu
GO=${GO:-go} FUZZTIME=${FUZZTIME:-5s}
for file in $(grep -rl --include='*_test.go' '^func Fuzz' . | grep -v /testdata/ | sort); do
  dir=$(dirname "$file")
  for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
    printf 'fuzz %-28s %s\n' "$dir" "$name"
    (cd "$dir" && CGO_ENABLED=1 "$GO" test -run '^$' -fuzz "^$name\$" -fuzztime "$FUZZTIME" -parallel 2 . >/tmp/divisi-fuzz.$$ 2>&1) || {
      cat /tmp/divisi-fuzz.$$; rm -f /tmp/divisi-fuzz.$$; exit 1; }
  done
done
rm -f /tmp/divisi-fuzz.$$
