"""Who is told of what: new, regressed and spiking issues, so many an hour, by three ways."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from makings import event

from aistack.issues.model import IssueChange, IssueFilter
from aistack.issues.notify import Notifier
from aistack.issues.store import Issues
from aistack.settings.schema import Notify
from aistack.stores.postgres import Postgres

pytestmark = pytest.mark.anyio


class Hook:
    """A server that keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.path, dict(self.headers), body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?token=t0k3n"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    one = Hook()
    yield one
    one.close()


@pytest.fixture
def url_file(hook: Hook, tmp_path: Path) -> str:
    (tmp_path / "url").write_text(hook.url + "\n")
    return str(tmp_path / "url")


async def test_nobody_is_told_by_default(issues: Issues, postgres: Postgres) -> None:
    notifier = Notifier(postgres, Notify())
    assert not notifier.enabled
    await issues.ingest([event()])
    await notifier.announce([1], "spiking")
    assert await notifier.send() == 0


async def test_new_and_regressed_and_nothing_between(
    issues: Issues, postgres: Postgres, hook: Hook, url_file: str
) -> None:
    notifier = Notifier(postgres, Notify(webhook_url_file=url_file))
    await issues.ingest([event(severity="critical", generation=7)])
    await issues.ingest([event()])
    assert await notifier.send() == 1
    assert await notifier.send() == 0
    (issue,) = (await issues.list(IssueFilter())).issues
    await issues.change(issue.id, IssueChange(status="resolved"), "t")
    await issues.ingest([event(at=datetime.now(UTC) + timedelta(seconds=1))])
    assert await notifier.send() == 1
    told = [msgspec.json.decode(body) for _, _, body in hook.got]
    assert [one["reason"] for one in told] == ["new", "regressed"]
    assert told[0]["title"] == "[new] critical: the database does not answer"
    assert f"aistack issues show {issue.id}" in told[0]["text"]
    assert "in generation 7" in told[0]["text"]


async def test_a_spike_is_told_once_in_six_hours(
    issues: Issues, postgres: Postgres, hook: Hook, url_file: str
) -> None:
    notifier = Notifier(postgres, Notify(webhook_url_file=url_file))
    await issues.ingest([event()])
    (issue,) = (await issues.list(IssueFilter())).issues
    for _ in range(3):
        await notifier.announce([issue.id], "spiking")
        await notifier.send()
    assert [msgspec.json.decode(body)["reason"] for _, _, body in hook.got] == ["new", "spiking"]


async def test_the_hour_has_a_bound_and_says_what_it_held_back(
    issues: Issues, postgres: Postgres, hook: Hook, url_file: str
) -> None:
    one = Notifier(postgres, Notify(webhook_url_file=url_file, per_hour=3))
    other = Notifier(postgres, Notify(webhook_url_file=url_file, per_hour=3))
    await issues.ingest([event(word) for word in ("a", "b", "c", "d", "e", "f", "g", "h")])
    assert sum([await n.send() for n in (one, other, one, other)]) == 3
    async with postgres.transaction() as conn:
        await conn.execute(
            "update issue_notices set ended_at = ended_at - interval '1 hour',"
            " begun_at = begun_at - interval '1 hour' where result is not null"
        )
    await issues.ingest([event("i")])
    assert await one.send() == 1
    last = msgspec.json.decode(hook.got[-1][2])
    assert last["held_back"] == 5
    assert "5 more were not told" in last["text"]
    assert len(hook.got) == 4


async def test_what_fails_is_tried_again_and_given_up(
    issues: Issues, postgres: Postgres, hook: Hook, url_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    hook.status = 500
    notifier = Notifier(postgres, Notify(webhook_url_file=url_file))
    await issues.ingest([event()])
    for _ in range(8):
        assert await notifier.send() == 0
        async with postgres.transaction() as conn:
            await conn.execute("update issue_notices set next_try = now()")
    assert len(hook.got) == 5
    (row,) = await postgres.fetch("select result, tries from issue_notices", {})
    assert (row["result"], row["tries"]) == ("failed", 5)
    assert "status 500" in caplog.text
    assert "t0k3n" not in caplog.text, "the URL may hold a token"


async def test_ntfy_and_mail(
    issues: Issues, postgres: Postgres, hook: Hook, url_file: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("tk_1")
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments; cat > {tmp_path}/mail\n')
    sendmail.chmod(0o755)
    notifier = Notifier(
        postgres,
        Notify(ntfy_url_file=url_file, ntfy_token_file=str(tmp_path / "token"),
               mail_to="ops@example.org", sendmail=str(sendmail)),
    )  # fmt: skip
    await issues.ingest([event("gr\u00fcn\nBcc: x@example.org", severity="high")])
    assert await notifier.send() == 1
    ((_, headers, body),) = hook.got
    assert headers["Title"] == "[new] high: gr?n"
    assert (headers["Priority"], headers["Authorization"]) == ("high", "Bearer tk_1")
    assert "gr\u00fcn" in body.decode()
    assert (tmp_path / "arguments").read_text() == "-t -i\n"
    mail = (tmp_path / "mail").read_text()
    assert "To: ops@example.org" in mail
    head = mail.partition("\n\n")[0]
    assert "Bcc" not in head


async def test_who_dies_over_it_leaves_it_to_be_sent_again(
    issues: Issues, postgres: Postgres, hook: Hook, url_file: str
) -> None:
    notifier = Notifier(postgres, Notify(webhook_url_file=url_file))
    await issues.ingest([event()])
    assert len(await notifier._claim()) == 1  # and then it died
    assert await notifier.send() == 0
    async with postgres.transaction() as conn:
        await conn.execute("update issue_notices set next_try = now()")
    assert await notifier.send() == 1
    assert len(hook.got) == 1


async def due_again(postgres: Postgres) -> None:
    async with postgres.transaction() as conn:
        await conn.execute("update issue_notices set next_try = now() where result is null")


async def test_a_dead_channel_does_not_silence_what_comes_later(
    issues: Issues, postgres: Postgres, hook: Hook, url_file: str
) -> None:
    notifier = Notifier(postgres, Notify(webhook_url_file=url_file, per_hour=2))
    hook.status = 500
    await issues.ingest([event("a"), event("b")])
    assert await notifier.send() == 0
    async with postgres.transaction() as conn:
        await conn.execute("update issue_notices set begun_at = begun_at - interval '61 minutes'")
    hook.status = 200
    await issues.ingest([event("c"), event("d"), event("e")])
    assert await notifier.send() == 2, "the two that wait for another try take no place of new ones"
    await due_again(postgres)
    assert await notifier.send() == 2, "they are tried again though the hour's bound is reached"
    held = await postgres.fetch("select from issue_notices where result = 'held_back'", {})
    assert len(held) == 1


async def test_only_the_channel_that_failed_is_tried_again(
    issues: Issues, postgres: Postgres, hook: Hook, url_file: str, tmp_path: Path
) -> None:
    sendmail, mails = tmp_path / "sendmail", tmp_path / "mails"
    sendmail.write_text(f"#!/bin/sh\ncat > /dev/null; echo sent >> {mails}\n")
    sendmail.chmod(0o755)
    notifier = Notifier(
        postgres,
        Notify(webhook_url_file=url_file, mail_to="ops@example.org", sendmail=str(sendmail)),
    )
    hook.status = 500
    await issues.ingest([event()])
    for _ in range(2):
        assert await notifier.send() == 0
        await due_again(postgres)
    hook.status = 200
    assert await notifier.send() == 1
    assert len(hook.got) == 3
    assert mails.read_text() == "sent\n"


async def test_an_evicted_issue_is_not_told(
    issues: Issues, postgres: Postgres, hook: Hook, url_file: str
) -> None:
    notifier = Notifier(postgres, Notify(webhook_url_file=url_file))
    await issues.ingest([event()])
    (notice,) = await notifier._claim()
    async with postgres.transaction() as conn:
        await conn.execute("delete from issues")
    assert not await notifier._tell(notice)
    assert hook.got == []


async def test_two_that_announce_at_once_tell_once(
    issues: Issues, postgres: Postgres, url_file: str
) -> None:
    notifiers = [Notifier(postgres, Notify(webhook_url_file=url_file)) for _ in range(4)]
    await issues.ingest([event()])
    (issue,) = (await issues.list(IssueFilter())).issues
    await asyncio.gather(*(one.announce([issue.id], "spiking") for one in notifiers))
    found = await postgres.fetch("select from issue_notices where reason = 'spiking'", {})
    assert len(found) == 1
