"""Figures and costs in words: the same on the terminal and on the page."""

from __future__ import annotations

from pathlib import Path

from penstock.fit.costs import Cost, Crossover
from penstock.fit.figures import Figures
from penstock.fit.prices import SHIPPED

COSTS = ("target", "paid", "replicas", "a day", "a million calls")


def figures(found: Figures) -> list[tuple[str, str]]:
    """What each figure is, and its value."""
    return [
        ("package", f"{found.size_bytes / 1e6:.2f} MB"),
        ("memory of the runtime alone", _mb(found.rest_bytes)),
        ("with the package, proved", _mb(found.loaded_bytes)),
        ("warm", f"{_mb(found.memory_bytes)}, of which its own {_mb(found.private_bytes)}"),
        ("cold start to the first answer", f"{found.first_answer_ms:,.0f} ms"),
        ("of which the runtime starts", f"{found.start_ms:,.0f} ms"),
        ("of which it loads the model and proves the samples", f"{found.prove_ms:,.0f} ms"),
        ("warm request by the clock, p50 / p99", f"{found.p50_ms:.2f} / {found.p99_ms:.2f} ms"),
        ("its own time of that, p99", f"{found.own_p99_ms:.2f} ms"),
        ("one core: requests of one record", f"{found.requests_a_second:,.0f} a second"),
        ("one core: records, 100 in a request", f"{found.records_a_second:,.0f} a second"),
        ("largest record or answer", f"{found.payload_bytes / 1e3:.2f} kB"),
    ]


def cost(found: Cost) -> tuple[str, ...]:
    """A row below COSTS."""
    replicas = "" if found.replicas is None else f"{found.replicas:,}"
    return (found.target, found.kind, replicas, money(found.a_day), money(found.a_million))


def crossover(found: Crossover) -> str:
    """Which of two targets is cheaper, by calls a day."""
    one, other = found.per_call, found.other
    if found.below is None or found.above is None:
        return f"{one} is cheaper than {other} at any number of calls"
    below, above = f"{found.below:,.0f}", f"{found.above:,.0f}"
    if below == above:
        return f"{one} is cheaper than {other} below {below} calls a day, and dearer above"
    return (
        f"{one} is cheaper than {other} below {below} calls a day, and dearer above {above}; "
        "between them it depends on how full the last replica is"
    )


def source(table: Path) -> str:
    """Whose prices those are."""
    return f"{table}{' (examples: docs/fit.md says how to have your own)' if table == SHIPPED else ''}"


def money(value: float) -> str:
    """An amount: two digits that count below 1, cents below 100, whole from there on."""
    if value < 1:
        return f"{value:#.2g}"
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
