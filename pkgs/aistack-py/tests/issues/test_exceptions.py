"""What our own services log with an exception becomes an event."""

import logging
from pathlib import Path
from typing import Any

import pytest

from aistack.errors import UnavailableError
from aistack.issues.exceptions import IssueHandler, recording
from aistack.issues.recorder import Recorder
from aistack.issues.redact import Redactor
from aistack.issues.spool import Spool
from aistack.kit.logs import request_id

log = logging.getLogger("elsewhere")


def events(spool: Spool) -> list[Any]:
    with spool.draining() as reader:
        assert reader is not None
        segment = reader.segment()
        return reader.batch(segment, 0, 1000).events if segment else []


def fail(text: str) -> None:
    raise ValueError(text)


def test_an_exception_that_is_logged_is_recorded(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2**20)
    with recording(Recorder(Redactor(), spool), "aidb"):
        token = request_id.set("r7")
        try:
            fail("token=abcdef123456")
        except ValueError:
            log.exception("unexpected error")
        finally:
            request_id.reset(token)
        log.error("no exception")
        try:
            fail("only a warning")
        except ValueError:
            log.warning("x", exc_info=True)
        try:
            fail("our own")
        except ValueError:
            logging.getLogger("aistack.issues.keeper").exception("would never end")
    (found,) = events(spool)
    assert (found.kind, found.message) == ("ValueError", "token=[redacted]")
    assert (found.component, found.request_id, found.source) == ("aidb", "r7", "exception")
    assert found.frames[-1].function == "fail"
    assert "Traceback" in found.stack
    assert found.context["log_message"] == "unexpected error"


def test_nothing_is_recorded_after_the_block_or_without_a_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2**20)
    before = list(logging.getLogger().handlers)
    with recording(Recorder(Redactor(), spool), "aidb"):
        pass
    with recording(Recorder(Redactor(), None), "aidb"):
        assert logging.getLogger().handlers == before
    assert logging.getLogger().handlers == before


def test_a_full_spool_is_said_and_breaks_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, 10)
    handler = IssueHandler(Recorder(Redactor(), spool), "aidb")
    exc = UnavailableError("gone")
    handler.emit(log.makeRecord("x", logging.ERROR, "", 0, "m", (), (type(exc), exc, None)))
    handler.close()
    assert "1 errors are not recorded: the spool of issues is full" in caplog.text
