#!/bin/sh
# Makes a release in this clone: a commit whose modules require the version of each other, and the tags
# of all modules that are released. It pushes nothing.
#
#	./scripts/release.sh v0.1.0
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}
fail() { echo "divisi: error: $1" >&2; echo "divisi: hint: $2" >&2; exit 1; }

[ $# -eq 1 ] || fail "release.sh needs a version and nothing else" "./scripts/release.sh v0.1.0"
version=$1
number='(0|[1-9][0-9]*)'
echo "$version" | grep -qE "^v[01]\.$number\.$number(-[0-9a-z]+(\.[0-9a-z]+)*)?\$" ||
  fail "$version is no version of these modules" \
    "give one such as v0.1.0 or v0.1.0-rc.1; from v2 on, the paths of the modules have to change as well"
tags="$version opentelemetry/$version resolver/$version lab/$version servlet/$version ssh/$version store/$version oci/$version cmd/divisi/$version"
for tag in $tags; do
  ! git rev-parse -q --verify "refs/tags/$tag" >/dev/null ||
    fail "the tag $tag exists already" "a version that is out cannot be changed: choose the next one"
done
[ -z "$(git status --porcelain)" ] ||
  fail "there are changes that are not committed" "commit them, or put them away: git stash -u"
grep -qF "## ${version#v}" CHANGELOG.md ||
  fail "CHANGELOG.md has no section \"## ${version#v}\"" "give that name to what is under \"## Unreleased\", and commit"

# The work space replaces the same version by the folders of this clone: nothing is fetched.
files=$(git ls-files go.work '*go.mod')
trap 'git checkout -q -- $files' EXIT
for file in $files; do
  edited=$(sed -E "s#^([[:space:]]+|require )(github.com/divisi-go/divisi(/opentelemetry|/resolver|/lab|/servlet|/ssh|/store|/oci|/cmd/divisi)?) v[^ ]+#\1\2 $version#" "$file")
  echo "$edited" >"$file"
done
"$GO" list ./... ./opentelemetry/... ./resolver/... ./lab/... ./servlet/... ./ssh/... ./store/... ./oci/... ./cmd/divisi/... ./e2e/... ./conformance/... ./bench/... >/dev/null ||
  fail "the modules do not fit together" "see above what the go command says; nothing has been changed"
git commit -q -m "Release $version" -- $files
for tag in $tags; do
  git tag -a -m "$tag" "$tag"
done
echo "$version is tagged. To publish it:"
echo
echo "  git push --atomic origin HEAD $tags"
