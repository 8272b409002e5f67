"""What is measured of a server, and the table of it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.serving import load
from bench.serving.servers import Records, Server, body_of

CLIENTS, ROWS, SHARE, STARTS = (1, 16), (1, 100), 0.7, 3


@dataclass(frozen=True)
class Measured:
    """What was seen of one server: by records and clients; at a share of the rate; seconds to ready; MB."""

    full: Mapping[tuple[int, int], load.Seen]
    steady: load.Seen
    start: float
    memory: float


def measure(server: Server, records: Records, folder: Path, seconds: float) -> Measured:
    """One server by itself, each load for so many seconds. Raises SystemExit where it answers anything with an error."""
    print(f"measuring {server.name}", file=sys.stderr, flush=True)
    took = []
    for _ in range(STARTS - 1):
        with server.running(folder) as it:
            took.append(it.seconds)
    body, full = folder / "body.json", {}
    with server.running(folder) as it:
        took.append(it.seconds)
        for count in ROWS:
            body.write_bytes(body_of(server, records[:count]))
            load.closed(it.url, body, max(CLIENTS), seconds)  # warm: a JVM compiles as it goes
            for clients in CLIENTS:
                full[count, clients] = load.closed(it.url, body, clients, seconds)
        body.write_bytes(body_of(server, records[:1]))
        steady = load.constant(it.url, body, SHARE * full[1, max(CLIENTS)].rate, seconds)
        memory = it.memory()
    return answered(server.name, Measured(full, steady, statistics.median(took), memory))


def answered(name: str, measured: Measured) -> Measured:
    """The same. Raises SystemExit where any request was answered with an error."""
    for seen in (*measured.full.values(), measured.steady):
        if seen.errors:
            raise SystemExit(f"{name} answered {seen.errors} requests with an error: {seen}")
    return measured


def show(measured: Mapping[str, Measured], ours: str) -> None:
    """Print the table, and the rate of `ours`, where it is among them, over that of each."""
    heads = [f"{rows} x {clients}" for rows, clients in next(iter(measured.values())).full]
    print(
        f"requests/s and p50 / p99 in ms, by records in a request x clients; {SHARE:.0%}: one record at that share of 1 x 16"
    )
    print(
        "| | "
        + " | ".join(heads)
        + f" | {SHARE:.0%}: p50 / p99 | ready, s | MB |\n"
        + "| --- " * (len(heads) + 4)
        + "|"
    )
    for name, seen in measured.items():
        cells = [f"{each.rate:,.0f}; {milliseconds(each)}" for each in seen.full.values()]
        print(
            "| " + " | ".join([name, *cells, _steady(seen), f"{seen.start:.2f}", f"{seen.memory:.0f}"]) + " |"
        )
    if own := measured.get(ours):
        print(
            f"\n{ours}'s rate over each other's\n| | "
            + " | ".join(heads)
            + " | ready |\n"
            + "| --- " * (len(heads) + 2)
            + "|"
        )
        for name, seen in measured.items():
            ratios = [f"{own.full[key].rate / seen.full[key].rate:.2f}" for key in seen.full]
            print("| " + " | ".join([name, *ratios, f"{seen.start / own.start:.1f}"]) + " |")


def _steady(seen: Measured) -> str:
    """Its latencies, or that the client could not send that much."""
    wanted = SHARE * seen.full[1, max(CLIENTS)].rate
    return (
        milliseconds(seen.steady)
        if seen.steady.rate > 0.99 * wanted
        else f"{seen.steady.rate:,.0f}/s were sent"
    )


def milliseconds(seen: load.Seen) -> str:
    """p50 / p99."""
    return f"{1e3 * seen.p50:.2f} / {1e3 * seen.p99:.2f}"
