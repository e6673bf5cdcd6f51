"""Which media type a document has: as declared, else told from its path's suffix."""

from pathlib import PurePosixPath
from typing import Final

from aistack.errors import InvalidError

HTML: Final = "text/html"
MARKDOWN: Final = "text/markdown"
PDF: Final = "application/pdf"
PLAIN: Final = "text/plain"
RST: Final = "text/x-rst"
SOURCE: Final = "text/x-source"

_SUFFIXES: Final = {
    ".htm": HTML,
    ".html": HTML,
    ".xhtml": HTML,
    ".markdown": MARKDOWN,
    ".md": MARKDOWN,
    ".mdx": MARKDOWN,
    ".pdf": PDF,
    ".rst": RST,
    ".txt": PLAIN,
    **dict.fromkeys(
        (
            ".bash .bat .c .cc .cfg .cjs .clj .cmake .conf .cpp .cs .css .cxx .dart .el .erl .ex "
            ".exs .fish .go .gradle .graphql .h .hh .hpp .hs .hxx .ini .java .jl .js .json .jsonl "
            ".jsx .kt .kts .less .lisp .lua .m .mjs .mk .ml .mli .nim .nix .patch .php .pl .pm "
            ".proto .ps1 .py .pyi .r .rb .rs .scala .scm .scss .service .sh .sql .svelte .swift "
            ".tcl .tf .toml .ts .tsx .v .vim .vue .xml .xsl .yaml .yml .zig .zsh .diff"
        ).split(),
        SOURCE,
    ),
}
_NAMES: Final = dict.fromkeys(("dockerfile", "makefile", "gnumakefile", "justfile"), SOURCE)
_ALIASES: Final = {
    "application/ecmascript": SOURCE,
    "application/javascript": SOURCE,
    "application/json": SOURCE,
    "application/sql": SOURCE,
    "application/toml": SOURCE,
    "application/typescript": SOURCE,
    "application/x-pdf": PDF,
    "application/x-sh": SOURCE,
    "application/x-yaml": SOURCE,
    "application/xhtml+xml": HTML,
    "application/xml": SOURCE,
    "application/yaml": SOURCE,
    "text/css": SOURCE,
    "text/csv": PLAIN,
    "text/javascript": SOURCE,
    "text/prs.fallenstein.rst": RST,
    "text/restructuredtext": RST,
    "text/x-markdown": MARKDOWN,
    "text/xml": SOURCE,
    "text/yaml": SOURCE,
    **{known: known for known in (HTML, MARKDOWN, PDF, PLAIN, RST, SOURCE)},
}


def media_type(path: str, declared: str | None) -> str:
    """Return the canonical media type.

    Args:
        path: the document's path; only its last part matters.
        declared: a Content-Type (parameters are ignored), or None to tell from the path.

    Raises:
        InvalidError: the declared type is none that can be read.
    """
    if declared is None:
        name = PurePosixPath(path)
        return _SUFFIXES.get(name.suffix.lower()) or _NAMES.get(name.name.lower(), PLAIN)
    essence = declared.partition(";")[0].strip().lower()
    if known := _ALIASES.get(essence):
        return known
    if essence.startswith("text/x-"):
        return SOURCE
    raise InvalidError(
        f"unknown media type {essence[:100]!r}; known are "
        f"{', '.join((PLAIN, MARKDOWN, HTML, RST, PDF, SOURCE))}"
    )
