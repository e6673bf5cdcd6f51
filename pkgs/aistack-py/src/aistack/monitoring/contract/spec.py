"""What a metric is: its name, kind, meaning and labels, and how the code makes one from that."""

from itertools import product
from typing import ClassVar, Literal

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

Kind = Literal["counter", "gauge", "histogram", "summary"]
OfWorkers = Literal["livemin", "livemax", "livesum", "mostrecent"]

_UNITS = {
    "_timestamp": "seconds since 1970",
    "_timestamp_seconds": "seconds since 1970",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_tokens": "tokens",
}


class Label(Struct, frozen=True):
    """A label; a series for every value that it ever had stays in Prometheus, so they are few."""

    name: str
    values: tuple[str, ...] = ()
    """All that it can be."""
    bound: str = ""
    """What bounds the values, where they are not known beforehand."""

    def __post_init__(self) -> None:
        if not self.values and not self.bound:
            raise ValueError(f"label {self.name}: name its values, or what bounds them")


class Spec(Struct, frozen=True):
    """A metric of ours."""

    name: str
    """As it is scraped: that of a counter ends in ``_total``."""
    help: str
    labels: tuple[Label, ...] = ()
    when: str = ""
    """The condition without which it is absent; else it is there from the start of a service."""

    kind: ClassVar[Kind]

    @property
    def unit(self) -> str:
        """What a value is counted in: the name says it."""
        base = self.name.removesuffix("_total")
        fits = [ending for ending in _UNITS if base.endswith(ending)]
        return _UNITS[max(fits, key=len)] if fits else ""

    @property
    def series(self) -> tuple[str, ...]:
        """The names that its samples have."""
        return (self.name,)

    @property
    def _label_names(self) -> list[str]:
        return [label.name for label in self.labels]


class CounterSpec(Spec, frozen=True):
    """What only grows."""

    kind: ClassVar[Kind] = "counter"

    def on(self, registry: CollectorRegistry) -> Counter:
        """Counted by the processes of a service; what is known to be countable begins at 0.

        Else the first event would not be seen: Prometheus cannot tell a rise from nothing.
        """
        counter = Counter(self.name, self.help, self._label_names, registry=registry)
        if self.labels and not self.when and all(label.values for label in self.labels):
            for values in product(*(label.values for label in self.labels)):
                counter.labels(*values)
        return counter

    def family(self, value: float | None = None) -> CounterMetricFamily:
        """Counted elsewhere, and told; without labels its ``value``."""
        return CounterMetricFamily(self.name, self.help, value, self._label_names or None)


class GaugeSpec(Spec, frozen=True):
    """What goes up and down."""

    of_workers: OfWorkers = "mostrecent"
    """What a service with several workers tells of their values."""

    kind: ClassVar[Kind] = "gauge"

    def on(self, registry: CollectorRegistry) -> Gauge:
        """Set by the processes of a service."""
        return Gauge(
            self.name, self.help, self._label_names,
            registry=registry, multiprocess_mode=self.of_workers,
        )  # fmt: skip

    def family(self, value: float | None = None) -> GaugeMetricFamily:
        """Read elsewhere, and told; without labels its ``value``."""
        return GaugeMetricFamily(self.name, self.help, value, self._label_names or None)


class HistogramSpec(Spec, frozen=True, kw_only=True):
    """Sizes or times, counted by buckets."""

    buckets: tuple[float, ...]

    kind: ClassVar[Kind] = "histogram"

    @property
    def series(self) -> tuple[str, ...]:
        """The names that its samples have."""
        return tuple(f"{self.name}{ending}" for ending in ("_bucket", "_count", "_sum"))

    def on(self, registry: CollectorRegistry) -> Histogram:
        """Observed by the processes of a service."""
        return Histogram(
            self.name, self.help, self._label_names, buckets=self.buckets, registry=registry
        )


class SummarySpec(Spec, frozen=True):
    """How many, and how much in all."""

    kind: ClassVar[Kind] = "summary"

    @property
    def series(self) -> tuple[str, ...]:
        """The names that its samples have."""
        return (f"{self.name}_count", f"{self.name}_sum")

    def family(self) -> SummaryMetricFamily:
        """Read elsewhere, and told."""
        return SummaryMetricFamily(self.name, self.help, labels=self._label_names)


class Part(Struct, frozen=True):
    """The metrics that one room of the code owns."""

    name: str
    about: str
    """Where they come from, in Markdown."""
    metrics: tuple[Spec, ...]
