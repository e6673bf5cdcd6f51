#!/usr/bin/env bash
# Checks what a checkout needs besides Python's packages, and asks apt-get for what is missing
# (as root or by sudo). AISTACK_NO_APT=1 only says what is missing.
#
#   setup-check.sh demo     what the demo needs: Python, and little more
#   setup-check.sh check    what the tests need as well: servers, a browser, linters
set -euo pipefail

wanted=$1
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# The packages that this machine lacks, one a line.
missing_packages() {
  have "$python" || echo python3
  # ensurepip is what Debian splits off into python3-venv.
  if have "$python" && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo python3-venv
  fi
  have make || echo make
  have setpriv || echo util-linux
  [[ $wanted == check ]] || return 0
  have redis-server || echo redis-server
  # Not on everybody's PATH, but there.
  have nginx || [[ -x /usr/sbin/nginx ]] || echo nginx-light
  have pebble || echo pebble
  have certbot || echo certbot
  have chromium || echo chromium
  have chromedriver || echo chromium-driver
  have restic || echo restic
  have pgbackrest || echo pgbackrest
  compgen -G "/usr/lib/*/faketime/libfaketime.so.1" >/dev/null || echo faketime
  have mandoc || echo mandoc
  have shellcheck || echo shellcheck
}

install_packages() {
  local -a become=()
  if [[ ${AISTACK_NO_APT:-} == 1 ]] || ! have apt-get; then
    return 1
  elif ((EUID != 0)); then
    have sudo || return 1
    become=(sudo)
  fi
  say "asking apt-get for: $*"
  local -a install=("${become[@]}" env DEBIAN_FRONTEND=noninteractive
    apt-get install --yes --no-install-recommends "$@")
  # The package lists of a fresh container are empty.
  "${install[@]}" >&2 || { "${become[@]}" apt-get update >&2 && "${install[@]}" >&2; }
}

mapfile -t missing < <(missing_packages)
if ((${#missing[@]})); then
  say "missing: ${missing[*]}"
  if ! install_packages "${missing[@]}"; then
    say "install these first; on Debian and Ubuntu: apt-get install ${missing[*]}"
    # Only Python is needed to go on; the tests themselves say what they miss.
    for package in "${missing[@]}"; do
      case $package in python3*) exit 1 ;; esac
    done
  fi
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  say "aistack needs Python 3.11 or newer; $python is $("$python" --version 2>&1)." \
    "Name another one: make PYTHON=python3.12"
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  say "$python cannot make virtual environments: install its venv package" \
    "(Debian: apt-get install python3-venv)"
  exit 1
fi

[[ $wanted == demo ]] || exit 0
if have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
  say "PostgreSQL: the installed one"
else
  say "PostgreSQL: none installed (optional); a Python wheel brings one"
fi
