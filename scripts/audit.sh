#!/usr/bin/env bash
# Asks PyPI whether there are advisories of any version that we pin (pip-audit), the tests' as well.
#
# Exit 1: there are. Exit 75: it could not be found out, since the index tells nothing of versions, as
# mirrors do; pip-audit alone would call that "no known vulnerabilities".
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tool=$root/.venv/audit/bin/pip-audit

if [[ ! -x $tool ]]; then
  "$root/.venv/bin/python" -m venv "$root/.venv/audit"
  "$root/.venv/audit/bin/python" -m pip install --quiet --disable-pip-version-check pip-audit
fi

status=0
"$tool" --strict --no-deps --disable-pip --progress-spinner off \
  --requirement "$root/pkgs/aistack-py/constraints.txt" "$@" 2>&1 | tee "$root/.venv/audit/told" || status=$?
if grep -q 'could not be audited' "$root/.venv/audit/told"; then
  printf 'audit: NOT DONE: the package index tells nothing of advisories\n' >&2
  exit 75
fi
exit "$status"
