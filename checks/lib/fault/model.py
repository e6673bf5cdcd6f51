"""What must be there: each value with the writes that were acknowledged, and those that may have been."""

import hashlib
import random
from dataclasses import dataclass, field
from uuid import uuid4

WORDS = (
    "bridge canal copper dormer engine flange gasket hinge ingot jigsaw kiln lathe mortar needle"
    " oakum pulley quarry rivet solder tackle umbra valve winch xylem yoke zinc"
).split()


def token() -> str:
    """A word that nothing else has; search finds it, and it alone."""
    return "zq" + uuid4().hex[:14].translate(str.maketrans("0123456789", "ghijklmnop"))


@dataclass
class Document:
    """A place of which one worker alone writes, one write at a time.

    ``may`` holds each text that it may have now; None is no document. More than one: the outcome of
    a write is unknown, also to come later. Then it is left as it is, since a write that hangs
    somewhere may still come.
    """

    path: str
    way: str
    id: str | None = None
    may: list[str | None] = field(default_factory=lambda: [None])
    gone: list[str] = field(default_factory=list)
    """Tokens of texts that were replaced or deleted for sure."""

    @property
    def settled(self) -> bool:
        """Whether it is known what it holds."""
        return len(self.may) == 1

    @property
    def text(self) -> str | None:
        """What a settled one holds."""
        return self.may[0]

    def tries(self, text: str | None) -> None:
        """A write is sent."""
        self.may.append(text)

    def acknowledged(self) -> None:
        """The write that was sent is done: nothing else may be there any more."""
        if (before := self.may[0]) is not None:
            self.gone.append(token_of(before))
        self.may = [self.may[-1]]


@dataclass
class Lesson:
    """An interaction, recorded under an idempotency key until the record is acknowledged."""

    key: str
    token: str
    question: str
    response: str
    way: str
    id: str | None = None


@dataclass
class Reports:
    """How often one issue was reported."""

    fingerprint: str
    acknowledged: int = 0
    unknown: int = 0


@dataclass
class Model:
    """Everything that was written."""

    documents: list[Document] = field(default_factory=list)
    lessons: list[Lesson] = field(default_factory=list)
    reports: list[Reports] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    aloud: bool = True

    def wrong(self, what: str) -> None:
        """Something that must never be."""
        self.violations.append(what)
        if self.aloud:
            print(f"WRONG: {what}", flush=True)


def document_text(path: str, chance: random.Random) -> str:
    """One to three passages, with a token of their own."""
    own = token()
    parts = (" ".join(chance.choices(WORDS, k=90)) for _ in range(chance.randint(1, 3)))
    return f"# {path}\n\ntoken {own}\n\n" + "\n\n".join(f"{part} {own}" for part in parts)


def token_of(text: str) -> str:
    """The token of a text that `document_text` made."""
    return text.split("token ", 1)[1].split("\n", 1)[0]


def checksum(text: str) -> str:
    """As the service tells it."""
    return hashlib.sha256(text.encode()).hexdigest()
