#!/usr/bin/env bash
# Every check of the repository. All of them run, even when one fails; the last line counts them.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$root/.venv/bin
cd "$root/pkgs/aistack-py" || exit 1

passed=0
failed=()
left_out=()
counts=$(mktemp)
folder=
clean_up() {
  rm -f "$counts"
  # What failed is to be looked at.
  if ((${#failed[@]} == 0)) && [[ $folder ]]; then rm -rf "$folder"; fi
}
trap clean_up EXIT

step() { # NAME COMMAND...
  local name=$1
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed+=("$name")
    printf '== %s FAILED\n' "$name" >&2
  fi
}

leave_out() { # NAME REASON
  left_out+=("$1")
  printf '\n== %s: NOT RUN: %s\n' "$1" "$2"
}

# One process more than there are cores, for each waits a good part of its time; each with servers of its
# own. What they run of the package is counted. Backups sync whatever they write: where there is room, the
# tests' folders are in memory.
tests() {
  local place=() free
  free=$(df --output=avail --block-size=1G /dev/shm 2> /dev/null | tail -n 1)
  if ((${free:-0} >= 4)) && [[ $(findmnt -no OPTIONS /dev/shm) != *noexec* ]]; then
    # A short name, as those of sockets must be.
    folder=$(mktemp -d /dev/shm/XXXXXX)
    place=(--basetemp "$folder")
  fi
  "$bin/coverage" erase
  "$bin/coverage" run -m pytest --numprocesses "$(($(nproc) + 1))" --dist worksteal --durations 40 "${place[@]}" |
    tee "$counts"
}

# Of tests that failed it says less than it could, but it is said.
coverage() {
  "$bin/coverage" combine --quiet && "$bin/coverage" json --quiet -o .coverage.json &&
    "$bin/python" "$root/scripts/coverage.py" .coverage.json
}

shell_files() {
  cd "$root" && find scripts pkgs .ci -type f \( -name '*.sh' -o -path '.ci/run' \) \
    -not -path '*/node_modules/*' -print0 | xargs -0 shellcheck
}

step 'ruff check' "$bin/ruff" check .
step 'ruff format' "$bin/ruff" format --check .
step 'mypy' "$bin/mypy"
step 'lint-imports' "$bin/lint-imports"
step 'pytest' tests
step 'coverage' coverage

if command -v shellcheck >/dev/null; then
  step 'shellcheck' shell_files
else
  leave_out 'shellcheck' 'it is not installed (apt-get install shellcheck)'
fi

if ! command -v nix >/dev/null; then
  leave_out 'nix flake check' 'nix is not on PATH, so the module and the packages are unchecked'
elif ! nix flake --help >/dev/null 2>&1; then
  leave_out 'nix flake check' 'this nix has no flakes: experimental-features = nix-command flakes'
else
  step 'nix flake check' nix flake check --print-build-logs "$root"
fi

printf '\n'
((${#left_out[@]})) && printf 'not run: %s\n' "$(IFS=,; echo "${left_out[*]}")"
((${#failed[@]})) && printf 'failed: %s\n' "$(IFS=,; echo "${failed[*]}")"
# pytest's last line, without its frame and colours.
printf 'pytest: %s\n' "$(tail -n 1 "$counts" | sed -e 's/\x1b\[[0-9;]*m//g' -e 's/^=* *//' -e 's/ *=*$//')"
printf 'check: %d passed, %d failed, %d not run\n' "$passed" "${#failed[@]}" "${#left_out[@]}"
((${#failed[@]} == 0))
