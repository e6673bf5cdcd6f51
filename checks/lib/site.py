"""Looks a built site over: SITE. Links and their anchors lead somewhere, and nothing of it is loaded
from elsewhere, so that it works without a network."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"script": "src", "link": "href", "img": "src", "source": "srcset", "iframe": "src"}


class Page(HTMLParser):
    """The anchors of one page, where it leads, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (name := LOADS.get(tag)) in given:
            self.loads.append(given[name])


def faults(path: Path, site: Path, pages: dict[Path, Page]) -> list[str]:
    """What is wrong with one page."""
    page, wrong = pages[path], []
    for link in (*page.links, *page.loads):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            if link in page.loads and parts.scheme != "data":
                wrong.append(f"loads {link}")
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if site not in target.parents or not target.is_file():
            wrong.append(f"{link} leads nowhere")
        elif parts.fragment and target in pages:
            if unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{link}: no such anchor")
    return [f"{path.relative_to(site)}: {fault}" for fault in wrong]


def main(site: Path) -> int:
    """Print each fault; 1 if there is one, or if this is no site."""
    # The page of what is not found has its links from the root.
    pages = {p: Page(p) for p in sorted(site.rglob("*.html")) if p.name != "404.html"}
    wrong = [fault for path in pages for fault in faults(path, site, pages)]
    for sheet in sorted(site.rglob("*.css")):
        found = re.findall(
            r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", sheet.read_text("utf-8")
        )
        wrong += [f"{sheet.relative_to(site)}: loads {url}" for url in found]
    if not any(site.glob("searchindex*.js*")):
        wrong.append("there is no index to search")
    print("\n".join([*wrong, f"{len(pages)} pages of the site, {len(wrong)} faults"]))
    return 1 if wrong or not pages else 0


sys.exit(main(Path(sys.argv[1]).resolve()))
