"""What is measured of servers that run side by side, and the tables of it."""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.serving import load
from bench.serving.servers import Running, Server

CLIENTS, SHARE, STARTS = (1, 16), 0.7, 3
#: Seconds of load before anything is measured: a JVM compiles as it goes.
WARM = 6.0
#: A number of records in a request, and of clients.
Kind = tuple[int, int]


@dataclass(frozen=True)
class Measured:
    """What was seen of one server, in each round: as fast as it answers, and at a share of that; microseconds of the processor
    that a request took; seconds to ready; MB.
    """

    full: Mapping[Kind, Sequence[load.Seen]]
    steady: Sequence[load.Seen]
    processor: Mapping[Kind, float]
    start: float
    memory: float


def start(server: Server, folder: Path, stack: ExitStack) -> tuple[Running, float]:
    """The server, which runs until the stack ends; and seconds from its start until it is ready, the median of some."""
    took = []
    for _ in range(STARTS - 1):
        with server.running(folder) as it:
            took.append(it.seconds)
    it = stack.enter_context(server.running(folder))
    return it, statistics.median([*took, it.seconds])


def measure(
    started: Mapping[str, tuple[Running, float]],
    bodies: Mapping[tuple[str, int], Path],
    rounds: int,
    seconds: float,
) -> dict[str, Measured]:
    """Each server in turn, round after round, each load for so many seconds: what else the machine does meets them all alike.

    `bodies` are what is posted, by name and number of records.
    """
    sizes = sorted({rows for _, rows in bodies})
    kinds: list[Kind] = list(product(sizes, CLIENTS))
    for (name, _), body in bodies.items():
        load.closed(started[name][0].url, body, max(CLIENTS), WARM)
    full: dict[str, dict[Kind, list[load.Seen]]] = {name: defaultdict(list) for name in started}
    took: dict[str, dict[Kind, list[float]]] = {name: defaultdict(list) for name in started}
    steady: dict[str, list[load.Seen]] = defaultdict(list)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for (rows, clients), (name, (it, _)) in product(kinds, started.items()):
            began = it.processor()
            seen = load.closed(it.url, bodies[name, rows], clients, seconds)
            full[name][rows, clients].append(seen)
            took[name][rows, clients].append((it.processor() - began) / (seconds * seen.rate))
        for name, (it, _) in started.items():
            rate = SHARE * full[name][1, max(CLIENTS)][-1].rate
            steady[name].append(load.constant(it.url, bodies[name, 1], rate, seconds))
    return {
        name: Measured(
            full[name],
            steady[name],
            {kind: 1e6 * statistics.median(each) for kind, each in took[name].items()},
            ready,
            it.memory(),
        )
        for name, (it, ready) in started.items()
    }


def check(measured: Mapping[str, Measured]) -> None:
    """Raises SystemExit where any request was answered with an error."""
    for name, each in measured.items():
        for seen in (*(one for many in each.full.values() for one in many), *each.steady):
            if seen.errors:
                raise SystemExit(f"{name} answered {seen.errors} requests with an error: {seen}")


def show(measured: Mapping[str, Measured], ours: str) -> None:
    """Print the table of medians, and the rate of `ours`, where it is among them, over that of each in the same round."""
    kinds = list(next(iter(measured.values())).full)
    heads = [f"{rows} x {clients}" for rows, clients in kinds]
    print(
        "requests/s; p50 / p99 in ms; microseconds of the processor a request; by records in a request x clients; "
        f"{SHARE:.0%}: one record at that share of 1 x {max(CLIENTS)}; p99 / p50"
    )
    _row("", *heads, f"{SHARE:.0%}", "ready, s", "MB")
    _row(*["---"] * (len(heads) + 4))
    for name, each in measured.items():
        cells = [_full(load.median(each.full[kind]), each.processor[kind]) for kind in kinds]
        _row(name, *cells, _steady(each), f"{each.start:.2f}", f"{each.memory:.0f}")
    if own := measured.get(ours):
        print(f"\n{ours}'s rate over each other's")
        _row("", *heads, "ready")
        _row(*["---"] * (len(heads) + 2))
        for name, each in measured.items():
            ratios = [f"{_ratio(own.full[kind], each.full[kind]):.2f}" for kind in kinds]
            _row(name, *ratios, f"{each.start / own.start:.1f}")


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")


def _full(seen: load.Seen, processor: float) -> str:
    return f"{seen.rate:,.0f}; {milliseconds(seen)}; {processor:.0f}"


def _steady(each: Measured) -> str:
    """Its latencies and the median of the rounds' p99 over p50, or that the client could not send that much."""
    wanted = SHARE * load.median(each.full[1, max(CLIENTS)]).rate
    seen = load.median(each.steady)
    if seen.rate < 0.95 * wanted:
        return f"{seen.rate:,.0f}/s were sent"
    tail = statistics.median(one.p99 / one.p50 for one in each.steady)
    return f"{milliseconds(seen)}; {tail:.1f}"


def _ratio(ours: Sequence[load.Seen], others: Sequence[load.Seen]) -> float:
    return statistics.median(one.rate / other.rate for one, other in zip(ours, others, strict=True))


def milliseconds(seen: load.Seen) -> str:
    """p50 / p99."""
    return f"{1e3 * seen.p50:.2f} / {1e3 * seen.p99:.2f}"
