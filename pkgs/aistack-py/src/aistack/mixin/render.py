"""All files of the mixin, by their path below the folder that is written."""

import json
from pathlib import Path

from aistack.mixin.dashboards import dashboards
from aistack.mixin.rules import rules


def files(*, runbooks_url: str) -> dict[str, str]:
    """Path to text: ``rules/*.yaml`` for Prometheus, ``dashboards/*.json`` for Grafana.

    Args:
        runbooks_url: where ``docs/runbooks`` is to be read, without a slash at its end.
    """
    found = {f"rules/{name}": text for name, text in rules(runbooks_url).items()}
    for uid, dashboard in dashboards(runbooks_url).items():
        found[f"dashboards/{uid}.json"] = json.dumps(dashboard, indent=1, sort_keys=True) + "\n"
    return found


def write(folder: Path, *, runbooks_url: str) -> int:
    """Write them below a folder that may exist.

    Returns:
        How many there are.
    """
    found = files(runbooks_url=runbooks_url)
    for name, text in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return len(found)
