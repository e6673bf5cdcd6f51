"""Moments as people write them: 30m, 2h, 7d, or a date."""

import re
from datetime import UTC, datetime, timedelta

import click

_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Span(click.ParamType):
    """A span of time: a number and one of s, m, h, d, w."""

    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read it."""
        if isinstance(value, timedelta):
            return value
        match = _SPAN.fullmatch(str(value))
        if match is None:
            self.fail(f"{value} is no span of time: write 30m, 2h or 7d", param, ctx)
        try:
            return timedelta(**{_UNITS[match[2]]: int(match[1])})
        except OverflowError:
            self.fail(f"{value} is more than a calendar has", param, ctx)


class Moment(click.ParamType):
    """A moment: a span before now (for ``until`` of the future: after), or a date in ISO 8601."""

    name = "moment"

    def __init__(self, *, ahead: bool = False) -> None:
        self._sign = 1 if ahead else -1

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it; a date without a time zone is in UTC."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        if _SPAN.fullmatch(text):
            distance = span.convert(text, param, ctx)
            try:
                return datetime.now(UTC) + self._sign * distance
            except OverflowError:
                self.fail(f"{text} is more than a calendar has", param, ctx)
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text} is no moment: write 2h, 7d, or 2026-01-31T12:00", param, ctx)
        return at if at.tzinfo else at.replace(tzinfo=UTC)


span = Span()
moment = Moment()
ahead = Moment(ahead=True)
