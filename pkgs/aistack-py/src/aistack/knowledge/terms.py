"""From text to terms, for questions and passages alike.

Words are lower-cased and stemmed (Snowball English). A code identifier such as
``services.nginx.virtualHosts``, ``snake_case`` or ``camelCase`` gives itself whole and each of
its parts, so that both find it.
"""

import re
import zlib
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from itertools import chain

import Stemmer

_WORD = re.compile(r"\w+(?:[.:/@-]+\w+)*(?:\+\+|#)?")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\dA-Za-z_]+")
_MAX_TERM = 80
"""Characters of the longest term: beyond it stand hashes and encoded data, which nobody types."""

_FEW = 8
"""Terms up to which looking for each is cheaper than reading all words."""

STOPWORDS = frozenset(
    "a an and are as at be but by can do does for from had has have how i if in into is it its me "
    "my no not of on or so such that the their then there these they this to was we were what "
    "when where which who why will with would you your".split()
)


def terms(text: str) -> Counter[str]:
    """How often each term occurs. Text of stop words alone keeps them: "to be or not to be"."""
    words = _WORD.findall(text)
    found = Counter(chain.from_iterable(map(_expanded, words)))
    if not found:
        found.update(word.lower() for word in words)
    return found


def vocabulary(text: str) -> set[str]:
    """The terms that occur, more cheaply than counting them."""
    words = set(_WORD.findall(text))
    return set(chain.from_iterable(map(_expanded, words))) or {word.lower() for word in words}


def present(wanted: Collection[str], text: str) -> Collection[str]:
    """Those of the wanted terms, or more, that occur in a text: `vocabulary`, for a few terms.

    It reads those words only that may give one of them.
    """
    lowered = text.lower()
    # Places in one must be those of the other, and a sigma's lower case depends on its neighbours.
    if len(wanted) > _FEW or len(lowered) != len(text) or "Σ" in text:
        return vocabulary(text)
    found = [term for term in wanted if _occurs(term, text, lowered)]
    return found or vocabulary(text)  # which knows what a text of stop words alone has


def _occurs(term: str, text: str, lowered: str) -> bool:
    root = _root(term)
    at = lowered.find(root)
    while at >= 0:
        # A word is within one line and has no space in it.
        begin = max(text.rfind(" ", 0, at), text.rfind("\n", 0, at)) + 1
        ends = [end for end in (text.find(" ", at), text.find("\n", at)) if end >= 0]
        end = min(ends, default=len(text))
        if any(term in _expanded(word) for word in _WORD.findall(text[begin:end])):
            return True
        at = lowered.find(root, end)
    return False


def _root(term: str) -> str:
    """What every word that gives this term has in it, in lower case.

    A stem is the beginning of its word, but for its last letter where that is one of four ("happi",
    "ski", "hope", "possibl"), and for short ones in -ie ("dying", "die").
    """
    if len(term) == 3 and term.endswith("ie"):
        return term[:1]
    return term[:-1] if len(term) > 1 and term[-1] in "eily" else term


def term_id(term: str) -> int:
    """The term's place in a sparse vector: 32 bits, as Qdrant takes them.

    Two terms share a place about once in 2**32 pairs; such a pair only counts as one word.
    """
    return zlib.crc32(term.encode())


def _expanded(word: str) -> tuple[str, ...]:
    # A word of 10 kB must not stay in the cache.
    return _expand(word) if len(word) <= _MAX_TERM else _expand.__wrapped__(word)


@lru_cache(maxsize=200_000)
def _expand(word: str) -> tuple[str, ...]:
    whole = word.lower()
    if whole.isalpha() and (word.islower() or word.istitle() or word.isupper()):
        return () if whole in STOPWORDS else (_stem(whole[:_MAX_TERM]),)
    parts = [part.lower() for part in _PART.findall(word)]
    out = [] if len(whole) > _MAX_TERM else [whole]
    out += [_stem(p[:_MAX_TERM]) for p in parts if p not in STOPWORDS and p != whole]
    # a.b.c is also findable by b.c: people remember the end of an option's name.
    dotted = whole.split(".")
    out += [".".join(dotted[i:]) for i in range(1, len(dotted) - 1)][:6]
    return tuple(dict.fromkeys(out))


_stemmer = Stemmer.Stemmer("english")


def _stem(word: str) -> str:
    return str(_stemmer.stemWord(word))
