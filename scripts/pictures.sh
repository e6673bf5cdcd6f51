#!/usr/bin/env bash
# Takes the pictures of the documentation anew, with Chromium before a stage (see tests/browser).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root/pkgs/aistack-py"
exec "$root/.venv/bin/python" tests/browser/pictures.py "$root/docs/images"
