"""Takes secrets out of events before anything is written, in the spool as in the database.

The detectors of `aistack.screening` find what surely is a secret, since a document with one is
refused. Here a false alarm costs a word of a message, so what is only named a secret goes as well.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

from aistack.issues.model import Event, Frame
from aistack.screening.credentials import CREDENTIALS
from aistack.screening.detectors import Scanner

MARK = "[redacted]"
_SHORTEST = 6
"""A shorter secret of the stack would be found in any text."""
_ROUNDS = 20
"""Looks at one text; who puts more keys of one form into it loses the rest of the text."""
_OWN_LINE = 40
"""From this length on a line of one of the stack's secrets is a secret alone, too."""
_SCAN = Scanner(CREDENTIALS)
_WORD = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|apikey|access[_-]?key|auth[_-]?key|"
    r"private[_-]?key|client[_-]?secret|credentials?|session[_-]?id|cookie|signature|sentry_key)"
)
_NAMED = re.compile(
    rf"""(?i)(?P<name>{_WORD}[\w-]{{0,40}}["'`]?\]?\s{{0,4}}(?:=>|:=|[=:])\s{{0,4}})"""
    r"""(?P<value>"[^"\n]{1,500}"|'[^'\n]{1,500}'|(?!\[redacted\])[^\s"',;&)\]}]{2,500})"""
)
_NAMES = ("pass", "pwd", "secret", "token", "key", "credential", "session", "cookie", "signature")
"""One of these is in every match of `_NAMED`."""
_SENSITIVE = re.compile(rf"(?i){_WORD}|authorization|x-api-key")
_BASE64 = "[A-Za-z0-9+/]"
_PEM_LINE = rf"(?=[a-z0-9]{{0,64}}[A-Z+/]){_BASE64}{{64,76}}(?!{_BASE64})"
"""What has small letters and digits only is a digest."""
_PLAIN = (
    # The whole block; a cut one to its end.
    (
        ("-----begin",),
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ ){0,4}(?:PRIVATE KEY|CERTIFICATE)(?: BLOCK)?-----"
            r"(?:.*?-----END [A-Z0-9 ]{3,60}-----|.*\Z)",
            re.DOTALL,
        ),
        MARK,
    ),
    # One whose begin was cut off, with the text before, from which nothing tells it.
    (
        ("-----end",),
        re.compile(
            r"\A.*-----END (?:[A-Z0-9]+ ){0,4}(?:PRIVATE KEY|CERTIFICATE)(?: BLOCK)?-----",
            re.DOTALL,
        ),
        MARK,
    ),
    # Lines of one that has neither any more, with parts of lines around them.
    (
        ("",),
        re.compile(
            rf"(?<!\S)(?:{_BASE64}{{1,75}}\s{{1,4}})?(?:{_PEM_LINE}\s{{1,4}})+{_PEM_LINE}"
            rf"(?:\s{{1,4}}{_BASE64}{{1,76}}={{0,2}}(?!\S))?"
        ),
        MARK,
    ),
    (("://",), re.compile(r"(?<=://)([^\s/:@\"'<>]{0,64}):[^\s/@\"'<>]{1,256}@"), rf"\1:{MARK}@"),
    (
        ("bearer", "basic", "negotiate", "digest"),
        re.compile(r"(?i)\b(Bearer|Basic|Negotiate|Digest)(\s+)[A-Za-z0-9._~+/=-]{6,2000}"),
        rf"\1\2{MARK}",
    ),
    (
        ("cookie", "authorization", "x-api-key"),
        re.compile(
            r"(?i)\b((?:set-)?cookie|authorization|x-api-key)(\s*:\s*+)(?!\[redacted\])"
            r"[^\n]{1,2000}"
        ),
        rf"\1\2{MARK}",
    ),
    (("aistack_",), re.compile(r"\baistack_[0-9a-f]{12}_[A-Za-z0-9_-]{20,43}"), MARK),
)
"""What must be there (in lower case), the pattern, and what takes its place."""


class Redactor:
    """Knows the secrets of this stack, and the looks of others.

    Args:
        secrets: values that must never be stored, whatever stands around them.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {s for secret in secrets if len(s := secret.strip()) >= _SHORTEST}
        # Of a key in PEM a text may have a part.
        known |= {
            line for secret in known for line in secret.splitlines()
            if len(line) >= _OWN_LINE and not line.startswith("-----")
        }  # fmt: skip
        known |= {quote(secret, safe="") for secret in known}
        # The longest first: one may be a part of another.
        self._known = sorted(known, key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text with every secret replaced by ``[redacted]``."""
        if not text:
            return text
        for secret in self._known:
            text = text.replace(secret, MARK)
        # Searching for words is much cheaper than any pattern, and most texts have none of them.
        low = text.lower()
        for words, pattern, replacement in _PLAIN:
            if any(word in low for word in words):
                text = pattern.sub(replacement, text)
        if any(name in low for name in _NAMES):
            text = _NAMED.sub(lambda match: match["name"] + MARK, text)
        # One look finds the first of each kind.
        for _ in range(_ROUNDS):
            found = _SCAN(text)
            if not found:
                return text
            begin = len(text)
            for one in reversed(found):
                # Where two overlap, the first goes whole and the other with it or a round later.
                if one.end <= begin:
                    text = text[: one.start] + MARK + text[one.end :]
                    begin = one.start
        left = _SCAN(text)
        return text[: min(one.start for one in left)] + MARK if left else text

    def value(self, value: Any) -> Any:
        """The same for the values of a JSON document; what a key names a secret goes whole."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                self.text(str(key)): MARK
                if _SENSITIVE.search(str(key)) and item not in (None, "", True, False)
                else self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value

    def event(self, event: Event) -> Event:
        """The event without secrets, in any of its texts."""
        return msgspec.structs.replace(
            event,
            message=self.text(event.message),
            kind=self.text(event.kind),
            component=self.text(event.component),
            frames=tuple(
                Frame(self.text(f.module), self.text(f.function), f.in_app) for f in event.frames
            ),
            stack=self.text(event.stack),
            context=self.value(event.context),
            host=self.text(event.host),
            tags=tuple(self.text(tag) for tag in event.tags),
            release=self.text(event.release) if event.release else None,
            request_id=self.text(event.request_id) if event.request_id else None,
            # Hashed anyway, but it lies in the spool before.
            fingerprint=self.text(event.fingerprint) if event.fingerprint else None,
        )
