#!/usr/bin/env bash
# Puts promtool, which tries the alerts, into a folder where this machine has none.
#
# Debian has it in the package prometheus, whose installation starts a server that scrapes the
# machine from then on. So the package is fetched and unpacked, not installed; that needs no root.
set -euo pipefail

into=$1

say() { printf 'setup: %s\n' "$*" >&2; }

if command -v promtool >/dev/null || [[ -x $into/promtool ]]; then
  exit 0
fi

fetch() { apt-get download --quiet prometheus >&2; }

# The package lists of a fresh container are empty.
fetch_after_update() {
  if ((EUID == 0)); then apt-get update --quiet >&2; else sudo apt-get update --quiet >&2; fi
  fetch
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
target=$(realpath "$into")
cd "$folder"
if [[ ${AISTACK_NO_APT:-} == 1 ]] || ! command -v apt-get >/dev/null || ! { fetch || fetch_after_update; }; then
  say "promtool is missing: the alerts cannot be tried." \
    "Put the one of Prometheus 2.42 or newer on your PATH"
  exit 0
fi
dpkg-deb --extract prometheus_*.deb .
install -m 755 usr/bin/promtool "$target/promtool"
say "promtool of Debian's package prometheus is in $into; no server was installed"
