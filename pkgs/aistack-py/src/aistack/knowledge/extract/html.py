"""HTML: the main part as Markdown-like text; one walk over the tree without recursion."""

import codecs
import re
from typing import Final

from lxml import etree

from aistack.errors import InvalidError
from aistack.knowledge.extract.result import BOM, Reading, decode, printable

_HEADINGS: Final = {f"h{level}": f"{'#' * level} " for level in range(1, 7)}
_OWN_LINE: Final = frozenset({*_HEADINGS, "pre", "table", "tr"})
_CELLS: Final = frozenset({"td", "th"})
_BLOCKS: Final = frozenset(
    "address article aside blockquote body caption center dd details dir div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr html legend li main menu ol p pre "
    "section summary table tbody tfoot thead tr ul".split()
)
_CHARSET: Final = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_CHARSETS: Final = re.compile(
    r"(?:iso8859-\d+|cp(?:125\d|932|949|866)|koi8-[ru]|shift_jis|euc_(?:jp|kr)|gb2312|gbk|gb18030"
    r"|big5(?:hkscs)?|mac-roman)$"
)
# Found by libxml2 in one go: asking each element for its attributes doubles the time of the walk.
_CLASSES: Final = (
    "headerlink navheader navfooter nosearch sphinxsidebar related mobile-nav linenos nav navbar"
)
_SKIP: Final = etree.XPath(
    "descendant::script|descendant::style|descendant::noscript|descendant::template"
    "|descendant::nav|descendant::svg|descendant::head|descendant::iframe|descendant::object"
    "|descendant::button|descendant::select|descendant::textarea|descendant::canvas"
    "|descendant::*[@hidden or @aria-hidden='true' or @role='navigation' or @role='search']"
    "|descendant::*[@class and ("
    + " or ".join(
        f"contains(concat(' ', normalize-space(@class), ' '), ' {name} ')"
        for name in _CLASSES.split()
    )
    + ")]"
)
_MAIN: Final = etree.XPath("descendant::main|descendant::*[@role='main']")
_TITLE: Final = etree.XPath("string((descendant::title[not(ancestor::svg)])[1])")
_LOOKS_LIKE_MARKUP: Final = re.compile(r"(?=#{1,6}\s|```|~~~)")
_CONTAINER: Final = re.compile(
    rb"</?(?:div|section|article|blockquote|center|ul|ol|dl|dd)\b[^<>]*>", re.IGNORECASE
)
_INLINE: Final = re.compile(
    rb"</?(?:a|b|big|code|em|font|i|small|span|strong|sub|sup|tt|u)\b[^<>]*>", re.IGNORECASE
)
_BACKTICKS: Final = re.compile(r"`{3,}")


def read(source: bytes, *, declared: str | None = None) -> Reading:
    """Read a page.

    Args:
        source: the page.
        declared: its Content-Type; the charset counts where the page is not UTF-8.

    Raises:
        InvalidError: binary, or in an encoding that neither is UTF-8 nor is declared.
    """
    data = _text(source, declared).encode()
    root = _parse(data)
    if root is None:
        # Without what mostly nests, most such pages can be read; nothing is ever cut off silently.
        root = _parse(_INLINE.sub(b"", _CONTAINER.sub(b"<br>", data)))
    if root is None:
        raise InvalidError("the HTML is nested too deeply to be read")
    title = " ".join(str(_TITLE(root)).split())
    main = _elements(_MAIN, root)
    writer = _write(main[0]) if len(main) == 1 else None
    if writer is None or not writer.parts:
        writer = _write(root)
    first = writer.first_heading
    # "json - encoder - Python 3.11 documentation": the heading says it without the site's name.
    if first and (not title or title.startswith(first)):
        title = first
    return Reading(printable(title), printable("".join(writer.parts)))


def _parse(data: bytes) -> etree._Element | None:
    """Parse UTF-8; None: nested deeper than libxml2 goes, which leaves out the rest."""
    parser = etree.HTMLParser(
        encoding="utf-8", huge_tree=True, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.LxmlError:
        root = None
    if any("xcessive depth" in entry.message for entry in parser.error_log):
        return None
    if root is None:
        raise InvalidError("the document has no readable text")
    return root


def _text(source: bytes, declared: str | None) -> str:
    """Decode a page: UTF-8 where it is valid, else as declared by the sender or the page."""
    if b"\0" in source:
        return decode(source)
    try:
        return source.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError:
        found = _CHARSET.search((declared or "").encode()) or _CHARSET.search(source[:4096])
        if not found:
            return decode(source)
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
    except LookupError:
        return decode(source)
    # Browsers read Latin-1 and ASCII as windows-1252; only its few unassigned bytes differ.
    if name in {"iso8859-1", "ascii"}:
        name = "cp1252"
    if not _CHARSETS.match(name):
        return decode(source)
    try:
        return source.decode(name)
    except UnicodeDecodeError as error:
        raise InvalidError(
            f"not UTF-8 text; nor {name} as declared: invalid byte at offset {error.start}"
        ) from error


class _Writer:
    """Gathers inline text and writes it out block by block."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.inline: list[str] = []
        self.prefix = ""
        self.tight = False
        self.first_heading = ""

    def flush(self) -> None:
        """Write the gathered inline text as one block, if there is any."""
        if not self.inline:
            return
        text = " ".join("".join(self.inline).split()).strip("| ")
        self.inline.clear()
        if not text:
            return
        if self.prefix == "# " and not self.first_heading:
            self.first_heading = text
        elif not self.prefix and _LOOKS_LIKE_MARKUP.match(text):
            text = "\\" + text
        self._block(self.prefix + text)
        self.prefix = ""

    def code(self) -> None:
        """Write the gathered text as a fenced block."""
        text = "".join(self.inline).replace("\r", "").strip("\n").rstrip()
        self.inline.clear()
        if text.strip():
            fence = max(["``", *_BACKTICKS.findall(text)], key=len) + "`"
            self.tight = False
            self._block(f"{fence}\n{text}\n{fence}")
            self.prefix = ""

    def _block(self, text: str) -> None:
        if self.parts:
            self.parts.append("\n" if self.tight else "\n\n")
        self.parts.append(text)
        self.tight = False


class _Walk:
    """One pass over a tree, told of each element's beginning and end."""

    def __init__(self, writer: _Writer) -> None:
        self.writer = writer
        self.inline = writer.inline
        self.pre = 0
        self.row = 0
        """How many tr are open: what is block-like in a row only parts words."""

    def begin(self, tag: str) -> None:
        """Take the start tag of an element that is not skipped."""
        if self.pre:
            if tag == "br":
                self.inline.append("\n")
            self.pre += tag == "pre"
        elif tag in _BLOCKS:
            if self.row and tag not in _OWN_LINE:
                self.inline.append(" ")
            else:
                self.writer.flush()
                _open(self.writer, tag)
                self.pre += tag == "pre"
            self.row += tag == "tr"
        elif tag == "br":
            if self.row:
                self.inline.append(" ")
            else:
                self.writer.flush()
                self.writer.tight = bool(self.writer.parts)

    def finish(self, tag: str) -> None:
        """Take the end tag of an element that is not skipped."""
        if self.pre:
            if tag == "pre":
                self.pre -= 1
                if not self.pre:
                    self.writer.code()
        elif tag in _CELLS:
            self.inline.append(" | ")
        elif tag in _BLOCKS:
            self.row -= tag == "tr"
            if self.row and tag not in _HEADINGS:
                self.inline.append(" ")
            else:
                self.writer.flush()
                self.writer.prefix = ""


def _write(root: etree._Element) -> _Writer:
    skipped = set(_elements(_SKIP, root))
    writer = _Writer()
    walk = _Walk(writer)
    walker = etree.iterwalk(root, events=("start", "end"))
    for event, element in walker:
        if event == "start":
            if element in skipped:
                walker.skip_subtree()
                continue
            walk.begin(element.tag)
            if text := element.text:
                writer.inline.append(text)
            continue
        if element not in skipped:
            walk.finish(element.tag)
        if (tail := element.tail) and element is not root:
            writer.inline.append(tail)
    writer.flush()
    return writer


def _elements(path: etree.XPath, root: etree._Element) -> list[etree._Element]:
    return path(root)  # type: ignore[return-value]  # these expressions yield node sets


def _open(writer: _Writer, tag: str) -> None:
    """Set how the first text of a block that begins is written."""
    if tag in _HEADINGS:
        writer.prefix = _HEADINGS[tag]
        writer.tight = False
    elif tag == "li":
        writer.prefix = "- "
        writer.tight = bool(writer.parts) and writer.parts[-1].startswith("- ")
    elif tag == "tr":
        writer.tight = bool(writer.parts) and " | " in writer.parts[-1]
    elif tag == "dd":
        writer.tight = True
