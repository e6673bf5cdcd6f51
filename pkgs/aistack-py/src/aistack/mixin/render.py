"""All files of the mixin, by their path below the folder that is written."""

import json
from pathlib import Path

from aistack.mixin.dashboards import dashboards
from aistack.mixin.rules import rules
from aistack.mixin.runbooks import Runbooks


def files(runbooks: Runbooks) -> dict[str, str]:
    """Path to text: ``rules/*.yaml`` for Prometheus, ``dashboards/*.json`` for Grafana.

    Args:
        runbooks: where they are to be read.
    """
    found = {f"rules/{name}": text for name, text in rules(runbooks).items()}
    for uid, dashboard in dashboards(runbooks).items():
        found[f"dashboards/{uid}.json"] = json.dumps(dashboard, indent=1, sort_keys=True) + "\n"
    return found


def write(folder: Path, runbooks: Runbooks) -> int:
    """Write them below a folder that may exist.

    Returns:
        How many there are.
    """
    found = files(runbooks)
    for name, text in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return len(found)
