"""Renews and deploys by the provider that the settings name."""

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from aistack.errors import AistackError, ConfigError, ConflictError, InvalidError
from aistack.health.certificate import judge as judge_time
from aistack.kit import process
from aistack.settings.load import read_secret
from aistack.settings.schema import Tls
from aistack.tls.authority import Authority
from aistack.tls.deploy import Deployer, Outcome
from aistack.tls.folder import Folder
from aistack.tls.judge import Verdict, faults, judge, reason_to_renew
from aistack.tls.pair import Pair, parse

log = logging.getLogger(__name__)

_OBTAIN_S = 15 * 60
_PLACEHOLDER = "minica"
"""NixOS makes one until the first order has worked."""
_MENDED = {
    "acme": "NixOS's ACME client has not renewed it: journalctl -u 'acme-order-renew-*'",
    "files": "nobody has put a new one in tls.certificate_file",
}


class Result(Struct, frozen=True):
    """What was done, or would be."""

    outcome: Outcome | Literal["would renew", "would deploy", "would change nothing"]
    reason: str | None
    """Why a new certificate was obtained; None: it was not."""


def _utc() -> datetime:
    return datetime.now(UTC)


class Keeper:
    """Keeps nginx's certificate as the settings want it.

    Args:
        settings: where certificates come from and go to.
        clock: asked each time: what a CA has made a moment ago begins only now.

    Raises:
        ConfigError: the settings name no host.
    """

    def __init__(self, settings: Tls, clock: Callable[[], datetime] = _utc) -> None:
        if not settings.names:
            raise ConfigError("tls.names is empty: say what the certificate is for")
        self._settings = settings
        self.now = clock
        self.folder = Folder(Path(settings.folder))
        self._deployer = Deployer(settings, self.folder)
        self._authority = Authority(Path(settings.folder))

    def source(self) -> Pair | None:
        """What the provider has left; None: it makes none, or has not yet.

        Raises:
            ConfigError: it cannot be read.
            InvalidError: it is no certificate with its key.
        """
        certificate, key = self._settings.certificate_file, self._settings.key_file
        if certificate is None or key is None:
            return None
        paths = [one for one in (certificate, key) if not one.startswith("credential:")]
        if not all(os.access(path, os.R_OK) for path in paths):
            return None  # also where certbot was killed before it gave its files to us
        texts = (read_secret(certificate, "tls.certificate_file"), read_secret(key, "tls.key_file"))
        return parse(*texts, certificate)

    def reason(self, pair: Pair | None) -> str | None:
        """Why a new certificate is needed in place of this one; None: it is not."""
        own = self._settings
        why = reason_to_renew(
            pair, own.names, self.now(), renew_at=own.renew_at, staging=own.staging
        )
        if why is None and own.provider == "selfSigned" and pair is not None:
            by_us = self._authority.issued(pair, own.names, self.now())
            return None if by_us else "it is not by this host's authority"
        return why

    async def deploy(self, given: Pair | None, *, dry_run: bool = False) -> Result:
        """Let nginx serve the given pair, or what the provider has left.

        Where there is neither, nginx gets one by this host's own authority: it does not start
        without, and an ACME server asks nginx before there is one.

        Raises:
            InvalidError: the pair is not good enough.
            ConflictError: nginx does not take it or does not serve it: all is as before.
            UnavailableError: it cannot be written: all is as before.
        """
        if dry_run:
            return self._would_deploy(given or self.source())
        with self.folder.lock():
            try:
                await self._deployer.settle()
                pair, reason = given or self.source(), None
                if pair is None:
                    pair, reason = self._own_or_kept()
                return Result(await self._deployer.deploy(pair, self.now()), reason)
            except AistackError:
                if given is None and self.folder.target("live") is None:
                    await self._deployer.deploy(self._issue(), self.now())
                raise

    async def renew(self, *, dry_run: bool = False) -> Result:
        """Obtain a new certificate if one is due, and deploy what the provider has.

        Raises:
            AistackError: as `deploy`; or none could be obtained. The old one goes on being served.
        """
        if self._settings.provider != "certbot":
            result = await self.deploy(None, dry_run=dry_run)
            self._complain()
            return result
        reason = self.reason(self._source_or_none())
        if dry_run:
            return Result("would renew" if reason else "would change nothing", reason)
        failure = await self._obtain(reason)
        # Also after a failure: an earlier one may have been obtained, and not deployed.
        result = await self.deploy(None)
        if failure is not None and reason is not None:
            raise failure
        if failure is not None:
            log.warning("none is due, but asking for the CA's wishes failed: %s", failure.detail)
        if reason is not None and (left := self.reason(self._source_or_none())) is not None:
            raise ConflictError(f"certbot worked, and still its certificate is not good: {left}")
        return Result(result.outcome, reason)

    def verdicts(self, pair: Pair) -> list[Verdict]:
        """All that can be told of a pair."""
        return judge(pair, self._settings.names, self.now(), staging=self._settings.staging)

    async def _obtain(self, reason: str | None) -> AistackError | None:
        """Ask for a new certificate, or whether the CA wants one renewed early; tells a failure."""
        own = self._settings
        command = own.obtain_command if reason is not None else own.ask_command
        if not command:
            return None
        try:
            await asyncio.to_thread(process.run, command, _OBTAIN_S)
        except AistackError as exc:
            return exc
        return None

    def _complain(self) -> None:
        """Where somebody else renews: tell when that does not happen.

        Raises:
            ConflictError: it should have been renewed.
        """
        mended = _MENDED.get(self._settings.provider)
        pair = self._source_or_none()
        if mended is None:
            return
        if pair is None:
            raise ConflictError(f"there is no certificate to deploy; {mended}")
        issuer = pair.leaf.issuer.rfc4514_string()
        if self._settings.provider == "acme" and _PLACEHOLDER in issuer:
            raise ConflictError(f"the certificate is a placeholder; {mended}")
        reading = judge_time(pair.leaf, self.now())
        if reading.status != "pass":
            raise ConflictError(f"the certificate {reading.output}; {mended}")

    def _own_or_kept(self) -> tuple[Pair, str | None]:
        """A certificate where no provider has left one, and why it is new; None: it is not."""
        live = self._live_or_none()
        if self._settings.provider == "selfSigned":
            reason = self.reason(live)
        else:  # the one that is there is better than ours, as long as it is good at all
            reason = (faults(self.verdicts(live)) or None) if live else "there is none yet"
        return (self._issue(), reason) if live is None or reason else (live, None)

    def _issue(self) -> Pair:
        return self._authority.issue(
            self._settings.names, self.now(), self._settings.self_signed_days
        )

    def _source_or_none(self) -> Pair | None:
        try:
            return self.source()
        except InvalidError:
            return None

    def _live_or_none(self) -> Pair | None:
        try:
            return self.folder.read("live")
        except AistackError as exc:
            log.warning("what lies in %s is not used: %s", self.folder.path, exc.detail)
            return None

    def _would_deploy(self, pair: Pair | None) -> Result:
        if pair is None:
            live = self._live_or_none()
            reason = self.reason(live) if self._settings.provider == "selfSigned" else None
            would = live is None or reason is not None
            return Result("would renew" if would else "would change nothing", reason)
        if found := faults(self.verdicts(pair)):
            raise InvalidError(f"the certificate would not be deployed: {found}")
        same = pair.id == self.folder.target("live")
        return Result("would change nothing" if same else "would deploy", None)
