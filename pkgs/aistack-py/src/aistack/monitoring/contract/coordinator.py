"""Metrics of the coordinator."""

from aistack.monitoring.contract.spec import CounterSpec, HistogramSpec, Label, Part

INTERACTIONS = CounterSpec("coordinator_interactions_total", "Interactions that were recorded")
OUTCOMES = CounterSpec(
    "coordinator_outcomes_total",
    "Outcomes that were told",
    (Label("outcome", ("success", "partial", "failure")),),
)
LESSONS = CounterSpec(
    "coordinator_lessons_total",
    "Verdicts by what they did: created a solution, merged into one, or none",
    (Label("result", ("created", "merged", "none")),),
)
AUGMENTATIONS = CounterSpec(
    "coordinator_augmentations_total",
    "Contexts that were given, by route hint",
    (Label("target", ("local", "remote")),),
)
CONTEXT_TOKENS = HistogramSpec(
    "coordinator_context_tokens",
    "Estimated tokens of the contexts that were given",
    buckets=(0, 64, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536),
)

PART = Part(
    "Coordinator",
    "Of the service that is scraped: AIDB tells them too, and they stay 0 there.",
    (INTERACTIONS, OUTCOMES, LESSONS, AUGMENTATIONS, CONTEXT_TOKENS),
)
