"""The metrics of the coordinator, built on a registry that is handed in."""

from prometheus_client import CollectorRegistry, Counter, Histogram


class LearningMetrics:
    """What was recorded, learned and served by one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.interactions = Counter(
            "coordinator_interactions", "Interactions that were recorded", registry=registry
        )
        self.outcomes = Counter(
            "coordinator_outcomes", "Outcomes that were told", ["outcome"], registry=registry
        )
        self.lessons = Counter(
            "coordinator_lessons",
            "Verdicts by what they did: created a solution, merged into one, or none",
            ["result"],
            registry=registry,
        )
        self.augmentations = Counter(
            "coordinator_augmentations", "Contexts by route hint", ["target"], registry=registry
        )
        self.context_tokens = Histogram(
            "coordinator_context_tokens",
            "Estimated tokens of the contexts that were given",
            buckets=(0, 64, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536),
            registry=registry,
        )
