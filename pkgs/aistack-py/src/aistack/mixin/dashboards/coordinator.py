"""The coordinator: what is recorded, learned and given as context."""

from aistack.mixin.dashboards import services
from aistack.mixin.dashboards.frame import GC_RUNS, instance, of_job, showing
from aistack.mixin.dashboards.model import Dashboard, Query, Row
from aistack.mixin.dashboards.panels import graph, stat
from aistack.mixin.dashboards.promql import chosen, mean, or_zero, per_second, quantiles, ratio

_JOB = "aistack-coordinator"
_TOKENS = "coordinator_context_tokens"
_LOCAL = 'target="local"'
_USEFUL = 'result!="none"'

_NOW = Row(
    "Now",
    (
        services.ready(),
        services.instances(),
        services.requests_now(),
        services.errors(),
        services.slow_now(),
        stat(
            "Sent to the local model",
            "Share of the contexts of the last hour whose hint was: a local model will do.",
            "percentunit",
            ratio(
                per_second("coordinator_augmentations_total", where=_LOCAL, window="1h"),
                per_second("coordinator_augmentations_total", window="1h"),
            ),
        ),
    ),
)

_LEARNING = Row(
    "Learning",
    (
        graph(
            "Interactions recorded",
            "Interactions a second.",
            "ops",
            Query(per_second("coordinator_interactions_total"), "interactions"),
        ),
        graph(
            "Outcomes",
            "Outcomes a second that were told for interactions.",
            "ops",
            Query(or_zero(per_second("coordinator_outcomes_total", by="outcome")), "{{outcome}}"),
            stacked=True,
        ),
        graph(
            "What they taught",
            "Outcomes a second that made a solution, were merged into one, or changed none.",
            "ops",
            Query(or_zero(per_second("coordinator_lessons_total", by="result")), "{{result}}"),
            stacked=True,
        ),
        stat(
            "Interactions so far",
            "Interactions that the running instances have recorded since they started.",
            "short",
            f"sum({chosen('coordinator_interactions_total')})",
            width=6,
        ),
        stat(
            "Lessons so far",
            "Outcomes since the start that made a solution or were merged into one.",
            "short",
            or_zero(f"sum({chosen('coordinator_lessons_total', _USEFUL)})"),
            width=6,
        ),
    ),
)

_CONTEXT = Row(
    "Context",
    (
        graph(
            "Contexts by hint",
            "Contexts a second, by where the question should go.",
            "ops",
            Query(
                or_zero(per_second("coordinator_augmentations_total", by="target")), "{{target}}"
            ),
            stacked=True,
        ),
        graph(
            "Size of contexts",
            "Tokens (estimated) that half and 95 of 100 contexts stay within.",
            "short",
            *quantiles(_TOKENS, 0.5, 0.95),
        ),
        graph(
            "Mean size of a context",
            "Tokens (estimated) of a context on average.",
            "short",
            Query(mean(_TOKENS), "tokens"),
        ),
    ),
)

COORDINATOR = Dashboard(
    uid="aistack-coordinator",
    title="aistack / Coordinator",
    about="What agents did, what was learned of it, and the contexts that came of that.",
    labels=of_job(_JOB),
    runbook="coordinator.md",
    variables=(instance(_JOB),),
    annotations=showing(GC_RUNS),
    rows=(_NOW, _LEARNING, _CONTEXT, services.requests(), services.pool(), services.processes()),
)
