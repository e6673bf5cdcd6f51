"""Recording rules and alerts: the YAML files of this folder, with links to the runbooks."""

from importlib.resources import files

_HERE = files("aistack.mixin")
_RUNBOOKS = "RUNBOOKS/"
"""Stands in the files where the address of the runbooks goes."""


def rules(runbooks_url: str) -> dict[str, str]:
    """File name to its text.

    Args:
        runbooks_url: where ``docs/runbooks`` is to be read, without a slash at its end.
    """
    return {
        f"{kind}-{source.name}": source.read_text("utf-8").replace(_RUNBOOKS, f"{runbooks_url}/")
        for kind in ("rules", "alerts")
        for source in sorted((_HERE / kind).iterdir(), key=lambda source: source.name)
        if source.name.endswith(".yaml")
    }
