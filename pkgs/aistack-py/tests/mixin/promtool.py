"""Prometheus' own tool, where the machine or the tests' environment has it."""

import shutil
import subprocess
import sys
from pathlib import Path

_BESIDE = Path(sys.executable).parent


def promtool(*arguments: str | Path) -> str:
    """What it says; it must be content."""
    program = shutil.which("promtool") or shutil.which("promtool", path=str(_BESIDE))
    assert program, "promtool is missing: scripts/get-promtool.sh, as make runs it, fetches it"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
