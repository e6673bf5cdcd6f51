"""What is done about findings: they are counted and logged, and refused where the settings say."""

import logging
from collections.abc import Callable

from aistack.errors import InvalidError
from aistack.kit import logs
from aistack.monitoring.metrics import Metrics
from aistack.screening.credentials import CREDENTIALS
from aistack.screening.detectors import Detector, Finding, Scanner, position
from aistack.screening.patterns import PATTERNS
from aistack.settings.schema import Screening, Validation

DETECTORS: tuple[Detector, ...] = (*PATTERNS, *CREDENTIALS)
_SCAN = Scanner(DETECTORS)
_log = logging.getLogger(__name__)


class ScreenedError(InvalidError):
    """The text holds something that the settings say to refuse."""

    code = "screened"
    reason = "screened"


class Screen:
    """Looks at texts before they are asked or stored."""

    def __init__(self, settings: Validation, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics

    def question(self, text: str) -> None:
        """Look at a question.

        Raises:
            ScreenedError: it holds a kind that ``validation.questions`` refuses.
        """
        self._look(text, self._settings.questions, "questions", "/query")

    def document(self, text: str, pointer: str = "/content") -> None:
        """Look at a document's text, or at another part of it that the pointer names.

        Raises:
            ScreenedError: it holds a kind that ``validation.documents`` refuses.
        """
        self._look(text, self._settings.documents, "documents", pointer)

    def _look(self, text: str, actions: Screening, section: str, pointer: str) -> None:
        found = _SCAN(text)
        if not found:
            return
        for one in found:
            self._metrics.suspicious.labels(one.kind).inc()
        refused = [one for one in found if getattr(actions, one.kind) == "reject"]
        # The text itself stays out: a log must not become the place where secrets are kept.
        values = logs.fields(
            part=section,
            pointer=pointer,
            refused=bool(refused),
            found=[f"{one.kind}/{one.rule} at {_place(text)(one)}" for one in found],
        )
        _log.info("suspicious text", extra=values)
        if refused:
            first = refused[0]
            raise ScreenedError(
                f"it looks like {first.kind} ({first.rule}) at {_place(text)(first)}, which "
                f"validation.{section}.{first.kind} refuses",
                pointer=pointer,
            )


def _place(text: str) -> Callable[[Finding], str]:
    def place(one: Finding) -> str:
        line, column = position(text, one.start)
        return f"line {line}, column {column}, offset {one.start}"

    return place
