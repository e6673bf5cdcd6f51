"""What PostgreSQL calls for each WAL segment starts fast, and within PostgreSQL's own sandbox."""

import subprocess
import sys


def test_it_loads_no_client_of_other_stores() -> None:
    program = (
        "import sys; from aistack.cli.main import main;"
        "main(['backup', 'archive-push', '--help'], standalone_mode=False);"
        "print(sorted({'numpy', 'qdrant_client', 'redis', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Save one WAL segment" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
