"""Health of services and what they depend on, and the certificate."""

from aistack.mixin.dashboards.frame import DAY, JOB, instance, showing
from aistack.mixin.dashboards.model import (
    GOOD_IS_ONE,
    WELL,
    Dashboard,
    Query,
    Row,
    falling,
    rising,
)
from aistack.mixin.dashboards.panels import bars, graph, stat, states
from aistack.mixin.dashboards.promql import (
    age,
    chosen,
    counted_in,
    or_zero,
    per_second,
    quantile,
    stored_in,
)

_PROBES = 'job="aistack-blackbox"'
_DEPENDENCY = "dependency_health_status"
_EXPIRY = "tls_certificate_expiry_seconds"
_LIFETIME = "tls_certificate_lifetime_seconds"
_TLS_JOBS = 'job_name=~"tls_.*"'
_IS_READY = 'check_type="ready"'
_READY = chosen("service_health_status", _IS_READY)
_BAD_LOOK = 'status!="pass"'

_NOW = Row(
    "Now",
    (
        stat(
            "Services ready",
            "Whether every instance of both services can answer requests.",
            "none",
            f"min({_READY})",
            words=GOOD_IS_ONE,
        ),
        stat(
            "Dependencies",
            "The worst state of anything that a service needs.",
            "none",
            f"min({chosen(_DEPENDENCY)})",
            words=WELL,
        ),
        stat(
            "Answers from outside",
            "Whether all probes of the served pages and ports went well.",
            "none",
            f"min(probe_success{{{_PROBES}}})",
            words=GOOD_IS_ONE,
        ),
        stat(
            "Certificate ends in",
            "Time until the end of the certificate that is served.",
            "s",
            f"min({chosen(_EXPIRY)})",
            steps=falling(14 * DAY, 5 * DAY),
        ),
        stat(
            "Lifetime left",
            "Share of the certificate's lifetime that is left. It is renewed at a third.",
            "percentunit",
            f"min({chosen(_EXPIRY)} / {chosen(_LIFETIME)})",
            steps=falling(0.3, 0.1),
        ),
        stat(
            "Looks that failed",
            "Looks at a dependency in the last hour that saw a warning or a failure.",
            "short",
            or_zero(counted_in("1h", "health_check_total", where=_BAD_LOOK)),
            steps=rising(1, 60),
        ),
    ),
)

_SERVICES = Row(
    "Services and dependencies",
    (
        states(
            "Services",
            "Whether each instance lives, has started, and is ready.",
            Query(
                f"min by (service, check_type, instance) ({chosen('service_health_status')})",
                "{{service}} {{instance}} {{check_type}}",
            ),
            GOOD_IS_ONE,
        ),
        states(
            "Dependencies over time",
            "What the services saw of each; the worst of all instances.",
            Query(f"min by (dependency) ({chosen(_DEPENDENCY)})", "{{dependency}}"),
            WELL,
        ),
        graph(
            "Time of a look (p95)",
            "19 of 20 looks at the dependency were done within this time.",
            "s",
            Query(
                f"{quantile(0.95, 'health_check_duration_seconds', by='dependency')}",
                "{{dependency}}",
            ),
        ),
        graph(
            "Looks that were not well",
            "Looks a second that saw a warning or a failure.",
            "ops",
            Query(
                or_zero(per_second("health_check_total", by="dependency, status", where=_BAD_LOOK)),
                "{{dependency}} {{status}}",
            ),
        ),
        graph(
            "Looks",
            "Looks a second at each dependency; it should be steady.",
            "ops",
            Query(per_second("health_check_total", by="dependency"), "{{dependency}}"),
            stacked=True,
        ),
    ),
)

_OUTSIDE = Row(
    "Seen from outside",
    (
        states(
            "Probes",
            "Whether the page or port answered as it should.",
            Query(f"min by (instance) (probe_success{{{_PROBES}}})", "{{instance}}"),
            GOOD_IS_ONE,
            width=8,
        ),
        graph(
            "Time of a probe",
            "From the look-up of the name to the end of the answer.",
            "s",
            Query(f"max by (instance) (probe_duration_seconds{{{_PROBES}}})", "{{instance}}"),
        ),
        graph(
            "Phases of a request",
            "Where the time goes: name, connection, TLS, work, transfer.",
            "s",
            Query(f"max by (phase) (probe_http_duration_seconds{{{_PROBES}}})", "{{phase}}"),
            stacked=True,
        ),
        bars(
            "Status of the page",
            "HTTP status that the probe got; 0 means no answer.",
            "none",
            Query(f"max by (instance) (probe_http_status_code{{{_PROBES}}})", "{{instance}}"),
            steps=rising(300, 500),
        ),
        graph(
            "Certificate as it is served",
            "Time until the end of the first certificate of the chain to end, by the probe.",
            "s",
            Query(
                f"min by (instance) (probe_ssl_earliest_cert_expiry{{{_PROBES}}}) - time()",
                "{{instance}}",
            ),
            width=16,
        ),
    ),
)

_CERTIFICATE = Row(
    "Certificate",
    (
        graph(
            "Time left",
            "Until the end of each certificate. It falls steadily and jumps with a renewal.",
            "s",
            Query(f"min by (name) ({chosen(_EXPIRY)})", "{{name}}"),
            width=12,
        ),
        graph(
            "Renewals",
            "Renewals and deployments of the last 24 hours by outcome; renewing also means: "
            "it was looked at and is not due.",
            "short",
            Query(
                stored_in("1d", "aistack_job_runs_total", by="job_name, outcome", where=_TLS_JOBS),
                "{{job_name}} {{outcome}}",
            ),
            width=12,
        ),
        stat(
            "Last renewal that worked",
            "Time since the certificate was renewed, or seen not to be due.",
            "s",
            age("aistack_tls_renewal_last_success_timestamp"),
            steps=rising(2 * DAY, 7 * DAY),
            width=12,
        ),
        stat(
            "Failed renewals in 7 days",
            "A few do no harm: it begins long before the end.",
            "short",
            stored_in("7d", "aistack_tls_renewal_failures_total"),
            steps=rising(1, 5),
            width=12,
        ),
    ),
)

HEALTH = Dashboard(
    uid="aistack-health",
    title="aistack / Health and certificates",
    about="Whether services, dependencies and the certificate are well, from inside and outside.",
    labels='job=~"$job",instance=~"$instance"',
    runbook="certificates.md",
    variables=(JOB, instance("aistack-(aidb|coordinator)")),
    annotations=showing(),
    rows=(_NOW, _SERVICES, _OUTSIDE, _CERTIFICATE),
)
