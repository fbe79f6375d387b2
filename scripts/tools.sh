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

if [ -e .git ] && git rev-parse --git-dir 2>&1 | grep -q 'dubious ownership'; then
  [ "${1:-}" != test ] ||
    fail "git does not trust this folder, which belongs to another user" \
      "git config --global --add safe.directory '$(pwd)'"
  echo "divisi: warning: git does not trust this folder, which belongs to another user: going on without it" >&2
fi
if [ "${1:-}" = test ]; then
  git rev-parse --is-inside-work-tree >/dev/null 2>&1 ||
    fail "this is no git clone, or git is not installed" "install git, and clone the repository"
  command -v "$("$GO" env CC | cut -d' ' -f1)" >/dev/null 2>&1 ||
    fail "there is no C compiler, which the race detector needs" "install gcc, or set CC"
  # A kernel that runs as a program, for the tests of control groups, which most machines cannot limit; an SSH server; a
  # browser for the live page.
  missing=
  command -v linux.uml >/dev/null 2>&1 || missing="user-mode-linux"
  [ -x /usr/sbin/sshd ] || missing="$missing openssh-server"
  command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
    command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
  if [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && [ -n "$missing" ]; then
    said=$(apt-get update 2>&1 && apt-get install -y --no-install-recommends $missing 2>&1) ||
      fail "cannot install $missing: $said" "install it, or run the tests without CI=true"
  fi
fi
