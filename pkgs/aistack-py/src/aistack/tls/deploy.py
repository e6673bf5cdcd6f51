"""Brings a certificate to nginx: tested before the swap, looked at after it, taken back if need be.

Killed at any point, the next run finishes what was begun or goes back: `next` is there from before
the swap until what is served has been seen.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from aistack.errors import AistackError, ConflictError, InvalidError, UnavailableError
from aistack.health.certificate import served
from aistack.kit import process
from aistack.settings.schema import Tls
from aistack.tls.folder import Folder
from aistack.tls.judge import Verdict, faults, judge
from aistack.tls.pair import Pair

log = logging.getLogger(__name__)

Outcome = Literal["deployed", "unchanged", "reloaded"]
"""``reloaded``: nginx had another one than the folder, and was told to look again."""

_COMMAND_S = 60
_PATIENCE_S = 10.0
"""New workers of nginx answer within it after a reload."""
_PAUSE_S = 0.1
_IN_A_ROW = 3
"""Looks that must show the new one."""


class Deployer:
    """One virtual host's certificate.

    Args:
        settings: where it lies, is served, and how nginx is tested and reloaded.
        folder: where it lies.
    """

    def __init__(self, settings: Tls, folder: Folder) -> None:
        self._settings = settings
        self._folder = folder

    async def deploy(self, pair: Pair, now: datetime) -> Outcome:
        """Let nginx serve a pair. The old one is served until then, and if this fails.

        The caller holds the folder's lock.

        Raises:
            InvalidError: the pair is not good enough; says why.
            ConflictError: nginx does not take it or does not serve it: all is as before.
            UnavailableError: it cannot be written: all is as before.
        """
        await self.settle()
        folder, old = self._folder, self._folder.target("live")
        if old == pair.id and pair.matches():
            return await self._confirm(pair)
        if found := faults(self._judge(pair, now)):
            raise InvalidError(f"the certificate is not deployed: {found}")
        try:
            folder.put(pair)
            folder.point("next", pair.id)
            if old is not None:  # else nginx has nothing to lose, and no configuration that works
                await self._command("nginx's test", self._settings.test_command)
                folder.point("previous", old)
            folder.point("live", pair.id)
        except AistackError:
            if folder.target("live") == old:  # else the next run settles it
                self._forget()
            raise
        await self._take_effect(pair, old)
        return "deployed"

    async def settle(self) -> None:
        """Finish or take back a deployment whose process was killed.

        Raises:
            ConflictError: nginx does not serve it: taken back.
        """
        begun = self._folder.target("next")
        if begun is None:
            return
        log.warning("an earlier deployment did not end")
        if begun != self._folder.target("live"):  # not swapped yet
            self._forget()
            return
        try:
            pair = self._folder.read("live")
        except AistackError as exc:  # nobody can serve it; another takes its place
            log.warning("and what it left is no certificate: %s", exc.detail)
            pair = None
        if pair is None:
            self._forget()
        else:
            await self._take_effect(pair, self._folder.target("previous"))

    def _judge(self, pair: Pair, now: datetime) -> list[Verdict]:
        return judge(pair, self._settings.names, now, staging=self._settings.staging)

    async def _take_effect(self, pair: Pair, old: str | None) -> None:
        try:
            await self._bring(pair)
        except AistackError as exc:
            if old is None:
                raise
            self._folder.point("live", old)
            self._forget()
            raise ConflictError(
                f"went back to the old certificate: {exc.detail}{await self._again()}"
            ) from exc
        self._forget()

    async def _again(self) -> str:
        """Let nginx read the old one again; says what went wrong with that."""
        try:
            pair = self._folder.read("live")
            if pair is not None:
                await self._bring(pair)
        except AistackError as exc:
            return f"; and nginx does not serve that either: {exc.detail}"
        return ""

    async def _confirm(self, pair: Pair) -> Outcome:
        if await self._serves(pair) in ("it", "nobody"):
            return "unchanged"
        await self._bring(pair)
        return "reloaded"

    async def _bring(self, pair: Pair) -> None:
        """Reload nginx, if it runs, and see that it serves the pair.

        Also where it serves it already: that may be the same certificate with another chain.
        """
        if await self._serves(pair) == "nobody":
            return
        await self._command("nginx's reload", self._settings.reload_command)
        until = time.monotonic() + _PATIENCE_S
        seen = 0
        # An old worker may answer once more behind a new one.
        while seen < _IN_A_ROW:
            found = await self._serves(pair)
            seen = seen + 1 if found == "it" else 0
            if found != "it" and time.monotonic() > until:
                told = {"nobody": "nobody listens", "other": "another certificate is served"}[found]
                raise ConflictError(f"after the reload {told} at {self._settings.served_at}")
            await asyncio.sleep(_PAUSE_S)

    async def _serves(self, pair: Pair) -> Literal["it", "other", "nobody"]:
        try:
            found = await served(f"{self._settings.names[0]}@{self._settings.served_at}")
        except UnavailableError:
            return "other"
        if found is None:
            return "nobody"
        return "it" if found == pair.leaf else "other"

    async def _command(self, what: str, command: Sequence[str]) -> None:
        if not command:
            return
        try:
            await asyncio.to_thread(process.run, command, _COMMAND_S)
        except UnavailableError as exc:
            raise ConflictError(f"{what} failed: {exc.detail}") from exc

    def _forget(self) -> None:
        self._folder.drop("next")
        self._folder.prune()
