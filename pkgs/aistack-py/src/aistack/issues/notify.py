"""Tells people of new, regressed and spiking issues: by webhook, ntfy or mail, so many an hour.

What is to be told lies in PostgreSQL, written with the issue. Any serving process sends it; one
that dies over it leaves it to be sent again, so a notice can come twice, but is not lost.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from email.message import EmailMessage
from typing import Any

import httpx
import msgspec

from aistack.errors import AistackError
from aistack.kit.process import run
from aistack.settings import schema
from aistack.settings.load import read_secret
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

_QUERIES = load_queries("aistack.issues", "notify.sql")
_LOCK = 0x6E6F74696679
"""Any constant: claiming, counting and announcing are done by one at a time."""
_TIMEOUT_S = 10.0
_TRIES = 5
_AT_ONCE = 10
_PRIORITY = {"critical": "urgent", "high": "high", "medium": "default", "low": "low", "info": "min"}
_FAILED = (httpx.HTTPError, httpx.InvalidURL, AistackError)

Row = dict[str, Any]
Channel = Callable[[str, str, Row], Awaitable[None]]


class Notifier:
    """Sends what `Issues` and the keeper announce."""

    def __init__(self, postgres: Postgres, settings: schema.Notify) -> None:
        self._postgres = postgres
        self._settings = settings
        self._channels: dict[str, Channel] = {}
        if settings.webhook_url_file is not None:
            self._channels["webhook"] = self._webhook
        if settings.ntfy_url_file is not None:
            self._channels["ntfy"] = self._ntfy
        if settings.mail_to is not None:
            self._channels["mail"] = self._mail

    @property
    def enabled(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self._channels)

    async def announce(self, issues: Sequence[int], reason: str) -> None:
        """Have these told, unless that was done for the same reason within six hours."""
        if issues and self._channels:
            async with self._postgres.transaction() as conn:
                # Two that look at the same time would both find that nobody was told.
                await conn.execute(_QUERIES["alone"], {"lock": _LOCK})
                values = {"issues": list(issues), "reason": reason}
                await conn.execute(_QUERIES["announce"], values)

    async def send(self) -> int:
        """Send what is due, as far as the hour's bound allows; returns how many were sent."""
        if not self._channels:
            return 0
        # Each process asks each second, and mostly there is nothing: not worth a lock.
        (found,) = await self._postgres.fetch(_QUERIES["due"], {})
        if not found["due"]:
            return 0
        sent = 0
        for row in await self._claim():
            sent += await self._tell(row)
        return sent

    async def _claim(self) -> list[Row]:
        async with self._postgres.transaction() as conn:
            await conn.execute(_QUERIES["alone"], {"lock": _LOCK})
            values = {"per_hour": self._settings.per_hour}
            found = await (await conn.execute(_QUERIES["allowance"], values)).fetchone()
            left = int((found or {"left": 0})["left"])
            if left == 0:
                await conn.execute(_QUERIES["hold_back"])
            limits = {"again": _AT_ONCE, "fresh": min(left, _AT_ONCE)}
            return await (await conn.execute(_QUERIES["claim"], limits)).fetchall()

    async def _tell(self, notice: Row) -> bool:
        found = await self._postgres.fetch(_QUERIES["issue"], {"id": notice["issue"]})
        if not found:
            return False  # evicted meanwhile, and the notice with it
        (issue,) = found
        (held,) = await self._postgres.fetch(_QUERIES["held_back"], {"id": notice["id"]})
        title, text = _words(notice["reason"], issue, held["notices"])
        document = {"reason": notice["reason"], "issue": issue, "held_back": held["notices"]}
        waiting = [name for name in self._channels if name not in notice["told"]]
        done = await asyncio.gather(
            *(_sent(name, self._channels[name](title, text, document)) for name in waiting)
        )
        told = [name for name, sent in zip(waiting, done, strict=True) if sent]
        result = "sent" if len(told) == len(waiting) else "failed"
        async with self._postgres.transaction() as conn:
            await conn.execute(_QUERIES["told"], {"id": notice["id"], "channels": told})
            if result == "sent" or notice["tries"] >= _TRIES:
                await conn.execute(_QUERIES["end"], {"id": notice["id"], "result": result})
        return result == "sent"

    async def _webhook(self, title: str, text: str, document: Row) -> None:
        url = _secret(self._settings.webhook_url_file, "issues.notify.webhook_url_file")
        body = msgspec.json.encode(document | {"title": title, "text": text})
        await _post(url, body, {"Content-Type": "application/json"})

    async def _ntfy(self, title: str, text: str, document: Row) -> None:
        url = _secret(self._settings.ntfy_url_file, "issues.notify.ntfy_url_file")
        headers = {
            "Title": title.encode("ascii", "replace").decode(),
            "Priority": _PRIORITY[document["issue"]["severity"]],
        }
        if self._settings.ntfy_token_file:
            token = _secret(self._settings.ntfy_token_file, "issues.notify.ntfy_token_file")
            headers["Authorization"] = f"Bearer {token}"
        await _post(url, text.encode(), headers)

    async def _mail(self, title: str, text: str, _document: Row) -> None:
        message = EmailMessage()
        message["To"] = self._settings.mail_to
        message["From"] = self._settings.mail_from
        message["Subject"] = title
        message.set_content(text)
        command = [self._settings.sendmail, "-t", "-i"]
        await asyncio.to_thread(run, command, _TIMEOUT_S, given=message.as_string())


async def _sent(name: str, sending: Awaitable[None]) -> bool:
    """Whether a channel took it; one that fails must not keep the others from it."""
    try:
        await sending
    except _FAILED as exc:
        # Not the URL, which may hold a token.
        log.warning("a notification was not sent by %s: %s", name, _kind(exc))
        return False
    return True


async def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        answer = await client.post(url, content=body, headers=headers)
        answer.raise_for_status()


def _secret(reference: str | None, setting: str) -> str:
    return read_secret(reference or "", setting)


def _kind(exc: Exception) -> str:
    if isinstance(exc, httpx.HTTPStatusError):
        return f"status {exc.response.status_code}"
    return exc.detail if isinstance(exc, AistackError) else type(exc).__name__


def _words(reason: str, issue: Row, held_back: int) -> tuple[str, str]:
    title = f"[{reason}] {issue['severity']}: {issue['title']}"
    lines = [
        issue["title"],
        "",
        f"component {issue['component']}, category {issue['category']}",
        f"{issue['count']} times since {issue['first_seen']:%F %T %Z}, last on {issue['last_host']}"
        + (f" in generation {issue['last_generation']}" if issue["last_generation"] else ""),
        f"aistack issues show {issue['id']}",
    ]
    if held_back:
        lines += ["", f"{held_back} more were not told (issues.notify.per_hour)"]
    return " ".join(title.split())[:200], "\n".join(lines)
