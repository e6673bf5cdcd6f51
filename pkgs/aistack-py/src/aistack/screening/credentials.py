"""Rules for credentials: known forms of keys, and random values that are named a secret.

A document with one is refused by default, so a placeholder must never count: what reads like
words, a variable, a path, a published example or a sequence is none.
"""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from aistack.screening.detectors import Detector, Rule, Span, View

_SHORTEST = 12
_SURE = 20
"""From this length on, two classes of characters are enough."""
_WORDS = re.compile(
    rb"example|change.?me|change.?it|your|placeholder|redact|dummy|sample|insert|replace|here\b|"
    rb"fake|mock|secret|passw|passphrase|token|hunter2|correct.?horse|todo|fixme|xxxx|\*\*\*|"
    rb"\.\.\.|0000|1111|aaaa|12345|abcde|abc123|a1b2c3|deadbeef|cafebabe|qwert|lorem|foobar|"
    rb"hello|default|testing|notreal|invalid|"
    # Published examples: Kubernetes' page on secrets, RFC 6749.
    rb"mwyyzdfln2u2n2rm|mwyyzdfmmwuyzty3zgy|2yotnfzfejr1zcsicmwpaa|tgzv3jokf0xg5qx2tlkwia"
)
_LEET = bytes.maketrans(b"@4013$57!", b"aaolessti")
_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CODE = re.compile(rb"[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+|[A-Za-z_]+")
_NOT_A_SECRET = re.compile(
    rb"(?:next|page|continu\w{0,10}|cursor|sync|csrf|xsrf|public|resume|start|pad|eos|bos|hash)"
    rb"[ _-]?\Z"
)
"""What stands before ``token`` and ``key`` where they are no secret."""


_PUNCTUATION = frozenset(b"!#$*@^~")
"""Characters of generated passwords that names, paths and dates do not have."""


def looks_random(value: bytes) -> bool:
    """Whether a value can be a generated secret rather than words, code or a placeholder."""
    low = value.lower()
    if _WORDS.search(low) or _WORDS.search(low.translate(_LEET)) or _UUID.fullmatch(value):
        return False
    if value[:1] in b"$/~.%<{[&" or b"://" in value or _CODE.fullmatch(value):
        return False
    classes = [_class(byte) for byte in value[:200]]
    kinds = set(classes) - {"other"}
    digits = sum(one == "digit" for one in classes)
    if len(kinds) < 2 or digits < (2 if len(value) < 16 else 1):
        return False
    if len(_PUNCTUATION.intersection(value)) >= 2:
        return _entropy(value[:200]) >= 3.0
    # A capital before small letters begins a word, as in camelCase: not counted as a change.
    changes = sum(
        a != b and (a, b) != ("upper", "lower") and "other" not in (a, b)
        for a, b in pairwise(classes)
    )
    if changes < max(3, len(classes) // 5) and "other" not in classes[1:-1]:
        return False
    if len(value) < _SURE and len(set(classes)) < 3:
        return False
    return changes >= 3 and _entropy(value[:200]) >= 3.0


def _class(byte: int) -> str:
    if 48 <= byte <= 57:
        return "digit"
    if 97 <= byte <= 122:
        return "lower"
    return "upper" if 65 <= byte <= 90 else "other"


def _entropy(value: bytes) -> float:
    """Shannon's, in bits a byte."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values())


def _filled_in(value: bytes) -> bool:
    """A fixed form: enough that it is no example and not one character over and over."""
    return len(set(value)) >= 10 and not _EXAMPLE.search(value.lower())


_EXAMPLE = re.compile(rb"example|xxxx|0000000|123456789|your|placeholder|redacted|aaaaaa")


def _sk_key(value: bytes) -> bool:
    return _filled_in(value) and looks_random(value.rpartition(b"-")[2])


_PUBLISHED_CLAIMS = (
    b"eyJzdWIiOiIxMjM0NTY3ODkw",  # jwt.io
    b"eyJzb21lIjoicGF5bG9hZCJ9",  # PyJWT
    b"eyJpc3MiOiJqb2UiLA0KICJleHAi",  # RFC 7515
)


def _signed(value: bytes) -> bool:
    """A JWT whose header is JSON, and that is none of the manuals'."""
    head, claims, _ = value.split(b".")
    if claims.startswith(_PUBLISHED_CLAIMS):
        return False
    try:
        text = base64.urlsafe_b64decode(head[:200] + b"=" * (-len(head[:200]) % 4))
    except (binascii.Error, ValueError):
        return False
    return b'"alg"' in text or b'"typ"' in text or b'"kid"' in text


Judge = Callable[[bytes], bool]


def _form(name: str, pattern: bytes, judge: Judge = _filled_in) -> "_Form":
    return _Form(name, re.compile(pattern + rb"(?![A-Za-z0-9])"), judge)


class _Form(NamedTuple):
    """Keys that are told by how they begin."""

    name: str
    pattern: re.Pattern[bytes]
    judge: Judge


_FORMS: dict[bytes, tuple[_Form, ...]] = {
    # By their first two characters.
    b"ai": (_form("aistack-key", rb"aistack_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"),),
    b"AK": (_form("aws-key", rb"AKIA[A-Z2-7]{16}"),),
    b"AS": (_form("aws-key", rb"ASIA[A-Z2-7]{16}"),),
    b"AI": (_form("google-key", rb"AIza[0-9A-Za-z_-]{35}"),),
    b"GO": (_form("google-secret", rb"GOCSPX-[0-9A-Za-z_-]{28}"),),
    b"gh": (_form("github-token", rb"gh[pousr]_[A-Za-z0-9]{36,255}"),),
    b"gi": (_form("github-token", rb"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),),
    b"gl": (_form("gitlab-token", rb"gl(?:pa|d|r)t-[A-Za-z0-9_-]{20,64}"),),
    b"xo": (_form("slack-token", rb"xox[abeoprs]-(?:[0-9A-Za-z]{2,64}-){1,4}[0-9A-Za-z]{10,64}"),),
    b"sk": (
        _form("stripe-key", rb"sk_live_[0-9a-zA-Z]{20,128}"),
        _form("sk-key", rb"sk-(?:[a-z0-9]{2,10}-){0,3}[A-Za-z0-9_]{20,200}", _sk_key),
    ),
    b"rk": (_form("stripe-key", rb"rk_live_[0-9a-zA-Z]{20,128}"),),
    b"hf": (_form("huggingface-token", rb"hf_[A-Za-z]{34}"),),
    b"np": (_form("npm-token", rb"npm_[A-Za-z0-9]{36}"),),
    b"py": (_form("pypi-token", rb"pypi-AgE[A-Za-z0-9_-]{50,500}"),),
    b"AG": (_form("age-key", rb"AGE-SECRET-KEY-1[0-9A-Z]{58}"),),
    b"ey": (
        _form(
            "jwt",
            rb"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{20,2000}",
            _signed,
        ),
    ),
}
_RUN = b"a" * 16
_RUNS = bytes.maketrans(
    bytes(range(256)),
    bytes(97 if chr(c).isascii() and (chr(c).isalnum() or c in b"_-") else 32 for c in range(256)),
)


_INNER = re.compile(
    rb"[_-](?=aistack_[0-9a-f]|AKIA|ASIA|AIza|GOCSPX-|gh[pousr]_|github_pat_|gl(?:pa|d|r)t-|xox|"
    rb"sk_live_|rk_live_|hf_|npm_|pypi-AgE|AGE-SECRET-KEY-1)"
)


def _starts(raw: bytes, at: int, end: int) -> Iterator[int]:
    r"""Where a key can begin in a run: its start, behind %20 or \n, behind a _ or - of markup."""
    yield at
    before = raw[at - 1 : at]
    if before == b"%":
        yield at + 2
    elif before == b"\\":
        yield at + 1
    for match in _INNER.finditer(raw, at, end):
        yield match.end()


def keys(view: View) -> Iterator[Span]:
    """Keys of known forms: each begins an unbroken run of 16 or more letters, digits, _ and -."""
    runs = view.raw.translate(_RUNS)
    seen: set[str] = set()
    at = runs.find(_RUN)
    while at >= 0:
        end = runs.find(b" ", at)
        for start in _starts(view.raw, at, end if end >= 0 else len(runs)):
            for form in _FORMS.get(view.raw[start : start + 2], ()):
                match = form.pattern.match(view.raw, start)
                if match and form.name not in seen and form.judge(match[0]):
                    seen.add(form.name)
                    yield Span("credentials", form.name, *match.span())
        at = runs.find(_RUN, end) if end >= 0 else -1


_BODY = re.compile(rb"[A-Za-z0-9+/]{40}")


def _has_body(view: View, match: "re.Match[bytes]") -> bool:
    body = _BODY.search(view.raw, match.end(), match.end() + 400)
    return body is not None and len(set(body[0])) >= 10 and b"xxxx" not in body[0].lower()


def _url_password(_: View, match: "re.Match[bytes]") -> bool:
    user, password = match[1], unquote_to_bytes(match[2])
    low = password.lower()
    if password == user or len(password) < 8 or password[:1] in b"$<{[%*":
        return False
    if _WORDS.search(low) or _WORDS.search(low.translate(_LEET)):
        return False
    classes = {_class(byte) for byte in password}
    return len(classes) >= 2 and "digit" in classes


def _assigned(view: View, match: "re.Match[bytes]") -> bool:
    value = view.raw[match.start(2) : match.end(2)].rstrip(b".,:!?")
    before = view.low[max(0, match.start() - 16) : match.start()]
    if match[0].startswith(b"key") and not _SECRET_KEY.search(before):
        return False
    if len(value) < _SHORTEST or _NOT_A_SECRET.search(before) or not looks_random(value):
        return False
    if match[1] or not _NAME.fullmatch(value):
        return True
    # Without quotes it may be a name of the program: such have few digits. A line of an
    # environment file holds none: NAME=value, alone.
    alone = view.raw[match.start(2) - 1 : match.start(2)] == b"=" and (
        view.raw[match.end(2) : match.end(2) + 1] in (b"", b"\n", b"\r")
    )
    return sum(48 <= byte <= 57 for byte in value) >= (2 if alone else 3)


_NAME = re.compile(rb"\w+")
_SECRET_KEY = re.compile(
    rb"(?:api|access|private|account|auth|signing|encryption|secret|master|service|storage)[ _-]?\Z"
)


def _assignment(needle: bytes, word: bytes) -> Rule:
    pattern = (
        word + rb"""["'`]?\]?\s{0,4}(?:=>|:=|[=:])\s{0,4}(["'`]?)"""
        rb"""([a-z0-9_\-./+=!@#$%^&*~?]{12,256}+)(?![(\[{<])"""
    )
    return Rule(
        kind="credentials", name="assignment", needles=(needle,), pattern=re.compile(pattern),
        group=2, check=_assigned,
    )  # fmt: skip


CREDENTIALS: tuple[Detector, ...] = (
    keys,
    Rule(
        kind="credentials", name="slack-webhook", needles=(b"hooks.slack.com/",),
        pattern=re.compile(rb"hooks\.slack\.com/services/t[a-z0-9]{8,12}/b[a-z0-9]{8,12}/"
        rb"(?!x{4})[a-z0-9]{24}"),
    ),
    Rule(
        kind="credentials", name="sendgrid-key", needles=(b"S",), raw=True,
        pattern=re.compile(rb"S(?=G\.)G\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9])"),
        check=lambda _, match: _filled_in(match[0]),
    ),
    Rule(
        kind="credentials", name="private-key", needles=(b"-----BEGIN",), raw=True,
        check=_has_body,
        pattern=re.compile(rb"-----BEGIN (?:[A-Z0-9]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----"),
    ),
    Rule(
        kind="credentials", name="url-password", needles=(b"://",), raw=True, group=2,
        check=_url_password,
        pattern=re.compile(
            rb""":(?=//)//([^\s/:@"'<>`]{0,64}):([^\s/@"'<>`]{3,128})@[A-Za-z0-9\[]"""
        ),
    ),
    _assignment(b"pass", rb"pass(?:word|wd|phrase)"),
    _assignment(b"pwd", rb"pwd"),
    _assignment(b"secret", rb"secret"),
    _assignment(b"token", rb"token"),
    _assignment(b"key", rb"key"),
)  # fmt: skip
