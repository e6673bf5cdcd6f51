"""What a run found, for people and for programs."""

import statistics
from typing import Any

from client import Turn

ENGINE, RIVAL = "engine", "dense: mcp-server-qdrant"


def summary(found: dict[tuple[int, str], list[Turn]]) -> list[dict[str, Any]]:
    """A row for each number of clients and way; times in ms over all turns, ratios by turn."""
    rows = []
    for (clients, name), turns in found.items():
        times = sorted(t for turn in turns for t in turn.times) or [float("nan")]
        bare = "dense: engine" if name.startswith("dense") else ENGINE
        engine = found.get((clients, bare), [])
        rival = found.get((clients, RIVAL)) if name.startswith("dense") else None
        rows.append(
            {
                "clients": clients,
                "way": name,
                "requests": len(times),
                "per_s": round(statistics.median(len(t.times) / t.seconds for t in turns), 1),
                "p50_ms": _percentile(times, 0.5),
                "p99_ms": _percentile(times, 0.99),
                "p999_ms": _percentile(times, 0.999),
                "p50_to_engine": _ratio(turns, engine, _p50),
                "p95_to_engine": _ratio(turns, engine, _p95),
                "per_s_to_rival": _ratio(turns, rival, _per_s) if rival else None,
                "errors": sum(turn.errors for turn in turns),
                "first_error": next((t.first_error for t in turns if t.errors), ""),
                "generator": round(statistics.median(turn.generator for turn in turns), 2),
            }
        )
    return rows


def growth(samples: list[dict[str, float]]) -> list[dict[str, Any]]:
    """A row for each process: MB at the start and after each quarter, growth in the last half."""
    quarters = [samples[round(part * (len(samples) - 1) / 4)] for part in range(5)]
    return [
        {
            "process": name,
            "mb": [quarter[name] for quarter in quarters],
            "last_half": round(quarters[4][name] / quarters[2][name] - 1, 4),
        }
        for name in samples[0]
    ]


def markdown(result: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        f"{result['passages']} passages, {result['engine']}; {result['rounds']} rounds, "
        f"{result['turn_s']:.1f} s a turn, {result['total_s'] / 60:.1f} min in all; "
        f"load average before {result['load_before']:.1f}.",
        "",
        "| clients | way | requests/s | p50 ms | p99 ms | p99.9 ms | p50 to the engine's "
        "| requests/s to the other's | errors | generator, cores |",
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["load"]:
        other = f"{row['per_s_to_rival']:.2f}" if row["per_s_to_rival"] is not None else ""
        lines.append(
            f"| {row['clients']} | {row['way']} | {row['per_s']:,.0f} | {row['p50_ms']:.2f} "
            f"| {row['p99_ms']:.2f} | {row['p999_ms']:.2f} | {row['p50_to_engine']:.2f} "
            f"| {other} | {row['errors']} | {row['generator']:.2f} |"
        )
    lines += [
        "",
        "| process | start | 1/4 | 1/2 | 3/4 | end | last half |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["memory"]:
        shown = " | ".join(f"{mb:.1f}" for mb in row["mb"])
        lines.append(f"| {row['process']} | {shown} | {row['last_half'] * 100:+.1f} % |")
    lines += [
        f"\nfirst error of {row['clients']} x {row['way']}: {row['first_error']}"
        for row in result["load"]
        if row["errors"]
    ]
    return "\n".join(lines)


def _percentile(times: list[float], part: float) -> float:
    return round(times[min(len(times) - 1, int(len(times) * part))] * 1000, 3)


def _p50(turn: Turn) -> float:
    return statistics.median(turn.times)


def _p95(turn: Turn) -> float:
    return sorted(turn.times)[int(len(turn.times) * 0.95)]


def _per_s(turn: Turn) -> float:
    return len(turn.times) / turn.seconds


def _ratio(turns: list[Turn], others: list[Turn], figure: Any) -> float:
    """The median of the rounds' ratios: both sides of one were measured a moment apart."""
    pairs = [(a, b) for a, b in zip(turns, others, strict=False) if a.times and b.times]
    if not pairs:
        return float("nan")
    return round(statistics.median(figure(a) / figure(b) for a, b in pairs), 3)
