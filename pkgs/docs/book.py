"""Makes the sources of an mdBook from the documentation: DOCS INTO [SOURCE_URL].

docs/index.md is the one order of the pages: its headings become the parts of the sidebar, its lists
the pages. A page that it does not list, or that is not there, ends the build.
"""

import re
import shutil
import sys
from pathlib import Path

INDEX = "index.md"
PART = re.compile(r"^## (.+)$")
PAGE = re.compile(r"^( *)- \[([^\]]+)\]\(([^)]+\.md)\)")
LINK = re.compile(r"(!?)\[([^\]]+)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]+)?\)")
CODE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def summary(index: str) -> str:
    """The sidebar, as mdBook's SUMMARY.md."""
    lines = ["# Summary", "", f"[Start]({INDEX})"]
    for line in index.splitlines():
        if part := PART.match(line):
            lines += ["", f"# {part[1]}", ""]
        elif page := PAGE.match(line):
            lines.append(f"{page[1]}- [{page[2]}]({page[3]})")
    return "\n".join(lines) + "\n"


def missing(docs: Path, contents: str) -> list[str]:
    """What the index says wrongly of the pages."""
    listed = re.findall(r"\(([^)]+\.md)\)", contents)
    there = {str(page.relative_to(docs)) for page in docs.rglob("*.md")}
    return [
        *(f"{name} is not listed in {INDEX}" for name in sorted(there - set(listed))),
        *(f"{INDEX} lists {name}, which is not there" for name in sorted(set(listed) - there)),
        *(
            f"{INDEX} lists {name} twice"
            for name in sorted({n for n in listed if listed.count(n) > 1})
        ),
    ]


def without_sources(text: str, folder: Path, docs: Path, source_url: str) -> str:
    """A page whose links to files beside docs/ lead to source_url, or are plain text without one."""

    def replace(link: re.Match[str]) -> str:
        target = (folder / link[3]).resolve()
        if target == docs or docs in target.parents:
            return link[0]
        path = target.relative_to(docs.parent)
        return f"[{link[2]}]({source_url}/{path})" if source_url else link[2]

    # Every other part is a block of code.
    parts = CODE.split(text)
    parts[::2] = [LINK.sub(replace, part) for part in parts[::2]]
    return "".join(parts)


def main(docs: Path, into: Path, source_url: str = "") -> int:
    """Write the book's sources; 1 if the index does not fit the pages."""
    contents = summary((docs / INDEX).read_text("utf-8"))
    if wrong := missing(docs, contents):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    shutil.copytree(docs, into, copy_function=shutil.copyfile)
    for page in into.rglob("*.md"):
        text = page.read_text("utf-8")
        page.write_text(without_sources(text, page.parent, into, source_url.rstrip("/")), "utf-8")
    (into / "SUMMARY.md").write_text(contents, "utf-8")
    return 0


sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), *sys.argv[3:]))
