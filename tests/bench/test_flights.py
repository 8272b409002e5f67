"""The bench behind docs/flights.md."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bench.flights import row
from penstock.intervals import Interval
from penstock.record import Entry, Record, Run

ROOT = Path(__file__).parents[2]


def test_a_runs_line_is_the_docs() -> None:
    """What a run's record says of June gives the very line of the page."""
    june = Interval(start=datetime(2013, 6, 1, tzinfo=UTC), end=datetime(2013, 7, 1, tzinfo=UTC))
    summary = {
        "rows": {"train": 1, "validation": 1, "holdout": 12_695},
        "base_rate": 0.3489,
        "metrics": {"roc_auc": 0.7771, "pr_auc": 0.6779},
    }
    record = Record(
        run=Run(run="one", pipeline="flight_delays", interval=june, window=[june], started=june.end),
        entries=[Entry(stage="train", state="ran", why="new", summary=summary, ended=june.end)],
    )
    assert row(record) in (ROOT / "docs/flights.md").read_text().splitlines()
