"""Idioms of PromQL. The selectors have ``{@}``, which the dashboard's own labels replace."""

from aistack.mixin.dashboards.model import Query

_MOMENT = "$__rate_interval"
"""For graphs: Grafana's time from one point to the next, and no less than some scrapes."""
LATELY = "5m"
"""For what is now: long enough to be steady."""


def chosen(metric: str, where: str = "") -> str:
    """A selector.

    Args:
        metric: its name as it is scraped.
        where: label matchers besides the dashboard's.
    """
    return f"{metric}{{@,{where}}}" if where else f"{metric}{{@}}"


def per_second(metric: str, *, by: str = "", where: str = "", window: str = _MOMENT) -> str:
    """How fast a counter rises, summed over what is not in ``by``."""
    return f"{_sum(by)}(rate({chosen(metric, where)}[{window}]))"


def quantile(
    share: float, metric: str, *, by: str = "", where: str = "", window: str = _MOMENT
) -> str:
    """Of a histogram, summed over all but its buckets and ``by``."""
    labels = f"le, {by}" if by else "le"
    rate = per_second(f"{metric}_bucket", by=labels, where=where, window=window)
    return f"histogram_quantile({share}, {rate})"


def quantiles(metric: str, *shares: float, where: str = "") -> tuple[Query, ...]:
    """A query for each share, called ``p99`` and alike."""
    return tuple(Query(quantile(one, metric, where=where), f"p{one * 100:g}") for one in shares)


def mean(metric: str, *, by: str = "") -> str:
    """Of a histogram or summary, in each moment."""
    return f"{per_second(f'{metric}_sum', by=by)} / {per_second(f'{metric}_count', by=by)}"


def ratio(some: str, whole: str) -> str:
    """Of two sums without labels; the first may be of series that are not there yet."""
    return f"({some} or vector(0)) / {whole}"


def or_zero(expr: str) -> str:
    """Nothing, if nothing was counted yet: a series of 0, where that is the truth."""
    return f"{expr} or on() vector(0)"


def stored(metric: str, *, by: str = "", where: str = "") -> str:
    """What PostgreSQL keeps: every service and instance tells the same of it."""
    return f"{_max(by)}({chosen(metric, where)})"


def stored_in(window: str, metric: str, *, by: str = "", where: str = "") -> str:
    """How often something that PostgreSQL counts happened in a time, such as ``1d``."""
    return f"round({_max(by)}(increase({chosen(metric, where)}[{window}])))"


def counted_in(window: str, metric: str, *, by: str = "", where: str = "") -> str:
    """How often something that processes count happened in a time, such as ``1d``."""
    return f"round({_sum(by)}(increase({chosen(metric, where)}[{window}])))"


def age(metric: str, *, by: str = "", where: str = "") -> str:
    """Seconds since the time that a metric tells."""
    return f"time() - {_max(by)}({chosen(metric, where)})"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"


def _max(by: str) -> str:
    return f"max by ({by}) " if by else "max"
