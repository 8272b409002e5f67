"""The scaffold's own data: a year of parcels, made up but learnable, the same for the same name."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from penstock.cli.plan import Plan

_START = datetime(2024, 1, 1)
_MONTHS = 12
_A_MONTH = 400
_CARRIERS = {"swift": -0.8, "city": 0.0, "budget": 1.1}
HEADER = ["parcel", "handed_over", "carrier", "express", "distance_km", "weight_kg", "late"]


def plan(name: str) -> Plan:
    """The pipeline over it."""
    return Plan(
        name=name,
        problem="Will a parcel arrive late, judged when it is handed over?",
        row="a parcel",
        task="binary",
        label="late",
        time="handed_over",
        id="parcel",
        source="parcels",
        uri=f"data/{name}/{{{{ interval }}}}.csv",
        schedule="@monthly",
        start=f"{_START:%Y-%m-%d}",
        end=f"{_START.year + 1}-01-01",
        window="months(3)",
        holdout="days(14)",
        categories=["carrier", "express"],
        numbers=["distance_km", "weight_kg"],
        max_categories=len(_CARRIERS),
        slices=["carrier"],
        least=0.65,
    )


def files(name: str) -> Iterator[tuple[str, str]]:
    """One CSV a month: its name and text."""
    draw = random.Random(name)  # noqa: S311 - made-up data, not security
    number = 0
    for month in range(1, _MONTHS + 1):
        start = datetime(_START.year, month, 1)
        hours = (datetime(_START.year + month // 12, month % 12 + 1, 1) - start) / timedelta(hours=1)
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(HEADER)
        for hour in sorted(draw.uniform(0, hours - 1) for _ in range(_A_MONTH)):
            number += 1
            rows.writerow(_parcel(draw, f"P{number:05d}", start + timedelta(hours=hour)))
        yield f"{start:%Y-%m-%d}.csv", text.getvalue()


def _parcel(draw: random.Random, parcel: str, at: datetime) -> list[object]:
    carrier, express = draw.choice(list(_CARRIERS)), draw.random() < 0.3
    distance, weight = round(draw.lognormvariate(5, 0.8), 1), round(draw.lognormvariate(0.5, 0.7), 2)
    score = (
        -1.0 + _CARRIERS[carrier] - 1.5 * express + 1.4 * math.log(distance / 150) + 0.3 * math.log(weight)
    )
    late = draw.random() < 1 / (1 + math.exp(-score))
    # Some were never put on the scales: the example has nulls, as real data does.
    weighed: object = weight if draw.random() < 0.95 else "NA"
    return [parcel, f"{at:%Y-%m-%dT%H:%M:%SZ}", carrier, str(express).lower(), distance, weighed, int(late)]
