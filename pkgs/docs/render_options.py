"""Writes the reference of all options as one Markdown page, from nixosOptionsDoc's options.json."""

import json
import re
import sys
from pathlib import Path

HEAD = """# Options

All options of `services.aistack`. This page is made from them: `make options` writes it anew.
"""


def markdown(text: str) -> str:
    """Nixpkgs' Markdown roles as plain Markdown: {option}`x` -> `x`."""
    return re.sub(r"\{(option|file|command|manpage|env|var)\}`", "`", text).strip()


def code(value: dict[str, str]) -> str:
    """A default or an example."""
    text = value["text"].strip()
    if value.get("_type") == "literalMD":
        return f" {markdown(text)}"
    return f" `{text}`" if "\n" not in text else f"\n\n```nix\n{text}\n```"


def main(path: Path) -> None:
    """Print the page."""
    options = json.loads(path.read_text("utf-8"))
    print(HEAD)
    for name, option in sorted(options.items()):
        # <name> would be a tag of HTML.
        head = re.sub("([<>])", r"\\\1", name)
        print(f"## {head}\n")
        print(markdown(option["description"]) + "\n")
        print(f"*Type:* `{option['type']}`\n")
        for kind in ("default", "example"):
            if kind in option:
                print(f"*{kind.capitalize()}:*{code(option[kind])}\n")
        places = ", ".join(f"[{d}](../../{d})" for d in option["declarations"])
        print(f"*Declared in:* {places}\n")


main(Path(sys.argv[1]))
