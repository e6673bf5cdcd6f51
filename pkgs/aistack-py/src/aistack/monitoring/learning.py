"""The metrics of the coordinator, on a registry that is handed in."""

from prometheus_client import CollectorRegistry

from aistack.monitoring.contract import coordinator


class LearningMetrics:
    """What was recorded, learned and served by one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.interactions = coordinator.INTERACTIONS.on(registry)
        self.outcomes = coordinator.OUTCOMES.on(registry)
        self.lessons = coordinator.LESSONS.on(registry)
        self.augmentations = coordinator.AUGMENTATIONS.on(registry)
        self.context_tokens = coordinator.CONTEXT_TOKENS.on(registry)
