"""What could be done: rules only, each with the evidence that it rests on and where to read on."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from aistack.issues.analysis import Analysis, Rated
from aistack.issues.model import ACTIVE

_MOST = 20


class Suggestion(Struct, frozen=True):
    """One piece of advice."""

    what: str
    evidence: str
    """The numbers and words of the issues that it rests on."""
    advice: str
    runbook: str | None
    """A page of the documentation, or a command."""
    issues: list[int]


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    what: str
    advice: str
    runbook: str | None


_RULES = tuple(
    _Rule(re.compile(pattern, re.IGNORECASE), what, advice, runbook)
    for pattern, what, advice, runbook in (
        (
            r"no space left|disk (?:is )?full|disk quota",
            "A file system is full",
            "See which with `aistack health` and `df -h`; free space before anything is restarted.",
            "docs/explanation/health.md",
        ),
        (
            r"oom-kill|out of memory|memoryerror|cannot allocate memory",
            "Memory runs out",
            "Look at `systemctl status` of the unit for its peak; lower workers or"
            " postgres.pool_max, or add memory.",
            "docs/reference/configuration.md",
        ),
        (
            r"too many connections|remaining connection slots|too much is asked at once",
            "Connections to PostgreSQL run out",
            "Lower postgres.pool_max or the workers, or raise max_connections of PostgreSQL.",
            "docs/reference/configuration.md",
        ),
        (
            r"schema is an older one|has no schema yet|migration \S+ (?:differs|which)",
            "The database's schema does not fit this version",
            "Run `aistack migrate`; where it refuses, the version that wrote the schema is newer.",
            "docs/reference/cli.md",
        ),
        (
            r"\baistack-backup|\bpgbackrest|\brestic\b|\bbackups?\b",
            "Backups fail",
            "`aistack backup status` says what is not safe now, and since when; the failed unit's"
            " journal says why.",
            "docs/how-to/back-up.md",
        ),
        (
            r"postgresql|database does not answer|psycopg\.operationalerror",
            "PostgreSQL is away or refuses",
            "`systemctl status postgresql` and its journal; events meanwhile wait in the spool.",
            "docs/how-to/use-external-stores.md",
        ),
        (
            r"qdrant|the index does not answer|\bvectors?\b.*does not answer",
            "The index is away",
            "`systemctl status qdrant`; if its data is lost, `aistack reindex` makes it again.",
            "docs/how-to/rebuild-the-index.md",
        ),
        (
            r"certificate|\btls\b|\bssl\b",
            "A certificate is wrong or runs out",
            "`aistack tls status` says what is served, until when, and how renewals ended.",
            "docs/how-to/get-certificates.md",
        ),
        (
            r"embedding|embeddings\.",
            "The embedding endpoint does not do its work",
            "Ask it by hand; search by words goes on without it.",
            "docs/how-to/use-embeddings.md",
        ),
        (
            r"garbage collection|aistack-gc",
            "Garbage collection failed or refused",
            "`aistack gc plan` says what it found; `aistack gc history` how runs ended.",
            "docs/how-to/collect-garbage.md",
        ),
        (
            r"watchdog",
            "A service does not run its event loop",
            "The journal before the kill shows what blocked it; look for the host's load, too.",
            "docs/explanation/health.md",
        ),
    )
)


def suggestions(found: Analysis) -> list[Suggestion]:
    """Advice on an analysis, the most urgent first."""
    made = [*_regressions(found), *_generations(found), *_spikes(found), *_known(found)]
    made += [*_together(found), *_quiet(found)]
    return made[:_MOST]


def _regressions(found: Analysis) -> Iterator[Suggestion]:
    for one in found.regressed:
        where = f" in generation {one.last_generation}" if one.last_generation else ""
        yield Suggestion(
            f"Issue {one.id} came back: {one.title}",
            f"resolved before, seen again{where} on {one.last_host}; {one.events} events,"
            f" {one.regressions} regressions in all",
            "What mended it is undone or was not all of it: compare with its resolution"
            f" (`aistack issues show {one.id}`).",
            None,
            [one.id],
        )


def _generations(found: Analysis) -> Iterator[Suggestion]:
    for one in found.generations:
        grown = one.after > 3 * one.before and one.after >= 5
        if (found.at - one.at).total_seconds() < found.hours * 3600 and one.new and grown:
            new = [r for r in found.new if r.first_generation == one.generation]
            yield Suggestion(
                f"Generation {one.generation} of {one.host} brought trouble",
                f"{one.new} issues were first seen in it; {one.before} kept occurrences in the day"
                f" before it, {one.after} in the day after: " + _titles(new),
                "Compare it with the generation before (`nix store diff-closures`), or go back:"
                " `nixos-rebuild switch --rollback`.",
                None,
                [r.id for r in new],
            )


def _spikes(found: Analysis) -> Iterator[Suggestion]:
    for spike in found.spiking:
        one = spike.issue
        yield Suggestion(
            f"Issue {one.id} spikes: {one.title}",
            f"{one.latest} events in the last hour, {spike.expected:.2f} expected by its past;"
            f" by chance once in {1 / max(spike.chance, 1e-300):.0e} hours",
            "Look at what changed in the last hour on " + one.last_host + ".",
            None,
            [one.id],
        )


def _known(found: Analysis) -> Iterator[Suggestion]:
    left = [one for one in found.top if one.status in ACTIVE]
    for rule in _RULES:
        hit = [r for r in left if rule.pattern.search(f"{r.kind} {r.component} {r.title}")]
        if hit:
            # The first rule that fits an issue is the most telling.
            left = [one for one in left if one not in hit]
            yield Suggestion(
                rule.what,
                f"{sum(r.events for r in hit)} events in {found.hours} h: " + _titles(hit),
                rule.advice,
                rule.runbook,
                [r.id for r in hit],
            )


def _together(found: Analysis) -> Iterator[Suggestion]:
    for pair in found.together[:3]:
        yield Suggestion(
            f"{pair.one} and {pair.other} fail together",
            f"in the same five minutes {pair.together} times, {pair.expected:.2f} expected by"
            " chance",
            "One may cause the other, or both have one cause: begin with what both depend on.",
            None,
            [r.id for r in found.top if r.component in (pair.one, pair.other)],
        )


def _quiet(found: Analysis) -> Iterator[Suggestion]:
    if found.quiet:
        ids = [one.id for one in found.quiet]
        oldest = found.quiet[0]
        yield Suggestion(
            f"{len(ids)} issues are quiet",
            f"none of them was seen for long; issue {oldest.id} last on {oldest.last_seen:%F}",
            "Resolve them: one that comes back is opened again. "
            + ", ".join(f"`aistack issues resolve {id_}`" for id_ in ids[:3]),
            "docs/how-to/track-issues.md",
            ids,
        )


def _titles(found: list[Rated]) -> str:
    return "; ".join(f"issue {one.id} ({one.events} times) {one.title[:80]}" for one in found[:3])
