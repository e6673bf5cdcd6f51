"""What PostgreSQL's plans cost."""

from typing import Any


def rows_read(node: dict[str, Any]) -> float:
    """Rows that all scans of a plan gave or passed over."""
    own = 0.0
    if "Relation Name" in node:
        own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        own *= node["Actual Loops"]
    return own + sum(rows_read(part) for part in node.get("Plans", ()))
