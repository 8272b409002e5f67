"""What a person sees of a run: bars on a terminal, lines in a file."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from penstock.cli.watch import Bars, on_stderr
from penstock.intervals import Interval
from penstock.record import Entry, Failure, Run

MONTH = Interval(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 2, 1, tzinfo=UTC))
RUN = Run(run="one", pipeline="shift", interval=MONTH, window=[MONTH], started=MONTH.end)
TRAINED = Entry(stage="train", state="ran", why="new: key [abc]", seconds=12.34, ended=MONTH.end)
FAILURE = Failure(kind="data", message="a column is missing", next_step="add it")
FAILED = Entry(stage="features", state="failed", why="w", failure=FAILURE, ended=MONTH.end)


def test_lines_name_the_stage_that_said_them(capfd: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal: every line of every job, and a line an end; nothing on stdout."""
    with on_stderr() as watch:
        watch.planned(RUN)
        watch.began("train")
        watch.said("train", "[progress] trials 1/8 auc 0.7")
        watch.ended(TRAINED)
        watch.ended(FAILED)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "run one of shift: interval 2024-01-01, window 2024-01-01",
        "train | [progress] trials 1/8 auc 0.7",
        "train ran in 12.3 s: new: key [abc]",
        "features failed in 0.0 s: a column is missing. To do: add it",
    ]


def test_bars_follow_the_progress_lines() -> None:
    """On a terminal a stage's bar takes its total, place and note from what its job says, and goes when it ends."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120, highlight=False)
    columns = Progress(TextColumn("{task.description}"), console=console, auto_refresh=False)
    bars = Bars(columns)
    bars.planned(RUN)
    bars.began("train")
    (task,) = columns.tasks
    assert (task.description, task.total) == ("train", None)
    bars.said("train", "[progress] trials 3/8 best [0.7]")
    assert (task.completed, task.total) == (3, 8)
    assert "trials 3/8 best" in task.fields["note"]
    bars.said("train", "refitted")
    assert task.fields["note"] == "refitted"
    bars.said("train", "[progress] rows read 5000/0")
    (task,) = columns.tasks
    assert "rows read 5,000" in task.fields["note"]
    assert task.total is None
    bars.ended(TRAINED)
    assert columns.tasks == []
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "train" in said
    assert "[abc]" in said
