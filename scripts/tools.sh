#!/bin/sh
# Names what is missing on this machine, and how to get it.
set -eu
GO=${GO:-go}
fail() { echo "divisi: error: $1" >&2; echo "divisi: hint: $2" >&2; exit 1; }
command -v "$GO" >/dev/null 2>&1 ||
  fail "the Go toolchain ($GO) is not installed" "get Go 1.26 or later from https://go.dev/dl/ and put it on the PATH"
version=$(GOTOOLCHAIN=local "$GO" env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//')
major=${version%%.*} rest=${version#*.} minor=${rest%%.*}
[ "$major" -gt 1 ] || [ "$minor" -ge 26 ] ||
  fail "Go $version is too old" "install Go 1.26 or later from https://go.dev/dl/"
