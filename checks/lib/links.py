"""Finds links of the Markdown pages that lead nowhere: ROOT, the repository's.

A link within the repository must lead to a file of it, an anchor to a heading of that page.
"""

import re
import sys
from pathlib import Path

PAGES = ("*.md", "docs/**/*.md", "pkgs/*/README.md")

LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]+)?\)")
# Pictures in HTML, of light and dark.
TAG = re.compile(r"""(?:src|srcset|href)="(?!https?:|mailto:)([^"#\s]*)(#[^"\s]+)?\"""")

BLOCK = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges and mdBook make them."""
    found: dict[str, int] = {}
    text = BLOCK.sub("", page.read_text("utf-8"))
    for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = found[slug] = found.get(slug, -1) + 1
        if count:
            found[f"{slug}-{count}"] = 0
    return set(found)


def broken(page: Path, root: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    text = CODE.sub("", BLOCK.sub("", page.read_text("utf-8")))
    wrong = []
    for target, anchor in (*LINK.findall(text), *TAG.findall(text)):
        found = (page.parent / target).resolve() if target else page
        inside = root == found or root in found.parents
        bad_anchor = anchor and found.suffix == ".md" and anchor[1:] not in slugs(found)
        if not inside or not found.exists() or bad_anchor:
            wrong.append(f"{page.relative_to(root)}: {target}{anchor} leads nowhere")
    return wrong


def main(root: Path) -> int:
    """Print each broken link; 1 if there is one, or if there are no pages."""
    pages = sorted({page for pattern in PAGES for page in root.glob(pattern)})
    wrong = [line for page in pages for line in broken(page, root)]
    print("\n".join([*wrong, f"{len(pages)} pages, {len(wrong)} broken links"]))
    return 1 if wrong or not pages else 0


sys.exit(main(Path(sys.argv[1]).resolve()))
