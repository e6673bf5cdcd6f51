"""Finds relative links in Markdown that lead nowhere: README DOCS."""

import re
import sys
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]+)?\)")

CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def main(readme: Path, docs: Path) -> int:
    """Print each broken link; 1 if there is one."""
    broken = 0
    pages = [(readme, readme.parent), *((page, page.parent) for page in sorted(docs.rglob("*.md")))]
    for page, folder in pages:
        for target, anchor in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
            # In the store the README and docs/ lie apart.
            found = docs / target.removeprefix("docs/") if page == readme else folder / target
            if page == readme and not target.startswith("docs/"):
                continue
            if docs.resolve() not in found.resolve().parents and found.resolve() != docs.resolve():
                continue  # leads out of docs/, to the sources
            bad_anchor = anchor and found.suffix == ".md" and anchor[1:] not in slugs(found)
            if not found.exists() or bad_anchor:
                print(f"{page.name}: {target}{anchor} leads nowhere")
                broken += 1
    print(f"{len(pages)} pages, {broken} broken links")
    return 1 if broken else 0


sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
