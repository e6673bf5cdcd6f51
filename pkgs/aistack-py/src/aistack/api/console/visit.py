"""A request of somebody who is signed in, and the pages that such requests ask for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from starlette.responses import Response

from aistack.access.model import Principal
from aistack.api.console.session import Session
from aistack.kit.logs import fields

if TYPE_CHECKING:
    from aistack.api.console.state import State
    from aistack.wiring import Stack

_log = logging.getLogger("aistack.console")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who asks, for what, and all that an answer needs."""

    stack: Stack
    state: State
    principal: Principal
    session: Session
    token: str
    """What the forms of the answer carry."""
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)

    def log(self, deed: str, **values: object) -> None:
        """Write down what was done, and by which key."""
        _log.info(deed, extra=fields(key=self.principal.key_id, **values))


Handler = Callable[[Visit], Awaitable[Response]]
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page, or one form that is sent."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A page whose parts are kept up to date while it is looked at."""

    name: str
    load: Callable[[Visit], Awaitable[Values]]
    """What its parts show now."""
    parts: tuple[str, ...]
    """Names of templates in ``parts/``."""
