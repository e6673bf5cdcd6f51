"""Takes the pictures of the documentation: python tests/browser/pictures.py FOLDER."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from chrome import Chrome, chrome
from stage import whole_stage

_SETTLED_S = 6
"""So long the numbers of a start are on the page."""
_WIDE, _PHONE = (1200, 740), (390, 780)
_PICTURES = (
    ("console-overview", "", _WIDE, False),
    ("console-overview-dark", "", _WIDE, True),
    ("console-issue", "issues/4", _WIDE, False),
    ("console-backups", "backups", _WIDE, True),
    ("console-phone", "", _PHONE, False),
    ("console-phone-dark", "issues", _PHONE, True),
)


def take(browser: Chrome, folder: Path) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    browser.sign_in()
    time.sleep(_SETTLED_S)
    for name, path, (width, height), dark in _PICTURES:
        browser.screen(width, height, dark=dark)
        browser.go(path)
        if "/" not in path:
            browser.until_text("Live", "#link")
        (folder / f"{name}.png").write_bytes(browser.picture())


def main() -> None:
    """Serve, look, write."""
    with (
        tempfile.TemporaryDirectory(prefix="aistack-") as own,
        whole_stage(Path(own)) as stage,
        chrome(stage) as browser,
    ):
        take(browser, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
