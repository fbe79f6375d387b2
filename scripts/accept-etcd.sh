#!/bin/sh
# Has etcd's own end-to-end tests (tests/common) start the store in the place of etcd, with the real etcdctl and etcdutl,
# and compares what fails with conformance/etcd/common.txt, which says why. The tests are a Go module, which the go command
# fetches, or the checkout of etcd that ETCD names; RUN selects some of them. Those that would end all others when they fail
# are not run. What they say is in build/etcd/log.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
GO=${GO:-go}
expected=$root/conformance/etcd/common.txt
work=$root/build/etcd
rm -rf "$work/run"
mkdir -p "$work/bin" "$work/run/common" "$work/module"
export CGO_ENABLED=0 LC_ALL=C

echo "build the store, etcdctl and etcdutl"
"$GO" build -o "$work/bin/etcd" ./conformance/etcd/standin
"$GO" build -o "$work/bin/" ./store/cmd/divisi-store go.etcd.io/etcd/etcdctl/v3 go.etcd.io/etcd/etcdutl/v3
version=$("$GO" list -m -f '{{.Version}}' go.etcd.io/etcd/server/v3)

echo "build the tests of etcd, ${ETCD:-$version}"
export GOWORK=off
if [ -n "${ETCD:-}" ]; then
  tests=$ETCD/tests package=./common
else
  tests=$work/module package=go.etcd.io/etcd/tests/v3/common
  printf 'module tests\n\ngo 1.26.0\n\nrequire go.etcd.io/etcd/tests/v3 %s\n' "$version" >"$tests/go.mod"
  export GOFLAGS=-mod=mod
fi
(cd "$tests" && "$GO" test -c -vet=off -tags e2e -o "$work/run/common/common.test" "$package")
[ -n "${ETCD:-}" ] || tests=$(cd "$tests" && "$GO" list -m -f '{{.Dir}}' go.etcd.io/etcd/tests/v3)
ln -s "$tests/fixtures" "$work/run/fixtures" # where they look for certificates

echo "run them: ten minutes"
cd "$work/run/common"
skipped=$(sed -n 's/^not run: \([^ ]*\) .*/\1/p' "$expected")
./common.test -test.v -test.timeout 60m -test.run "${RUN:-.}" -test.skip "$skipped" -bin-dir "$work/bin" >"$work/log" 2>&1 || true

# Of a test and its parent the test is what failed.
verdicts() { sed -n "s/^ *--- $1: \(.*\) ([0-9.]*s)\$/\1/p" "$work/log"; }
verdicts FAIL | sort | awk '{ all[NR] = $0 } END { for (i = 1; i <= NR; i++) if (index(all[i + 1], all[i] "/") != 1) print all[i] }' >"$work/failed"
verdicts PASS | sort >"$work/passed"
sed -n 's/^\(Test[^ ]*\) .*/\1/p' "$expected" | sort >"$work/expected"

printf '%s passed, %s skipped, %s failed, of which %s are expected to\n' "$(wc -l <"$work/passed")" "$(verdicts SKIP | wc -l)" \
  "$(wc -l <"$work/failed")" "$(comm -12 "$work/failed" "$work/expected" | wc -l)"
wrong=
tail -n 1 "$work/log" | grep -qE '^(PASS|FAIL)$' || wrong="the tests did not end: see $work/log"
for name in $(comm -23 "$work/failed" "$work/expected"); do
  wrong="$wrong
$name fails, and is not in $expected"
done
for name in $(comm -12 "$work/passed" "$work/expected"); do
  wrong="$wrong
$name passes, and is in $expected"
done
[ -z "$wrong" ] || { echo "$wrong"; exit 1; }
