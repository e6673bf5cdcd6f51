"""Recording rules and alerts: the YAML files of this folder, with links to the runbooks."""

import re
from importlib.resources import files

from aistack.mixin.runbooks import Runbooks

_HERE = files("aistack.mixin")
_RUNBOOK = re.compile(r"RUNBOOKS/([a-z]+\.md)")
"""Stands in the files where the address of a runbook goes."""


def rules(runbooks: Runbooks) -> dict[str, str]:
    """File name to its text.

    Args:
        runbooks: where they are to be read.
    """
    return {
        f"{kind}-{source.name}": _RUNBOOK.sub(
            lambda found: runbooks.page(found[1]), source.read_text("utf-8")
        )
        for kind in ("rules", "alerts")
        for source in sorted((_HERE / kind).iterdir(), key=lambda source: source.name)
        if source.name.endswith(".yaml")
    }
