"""A run as it goes on, on stderr: bars for a person's terminal, plain lines for a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from penstock import progress
from penstock.cli import styles
from penstock.local import Watch
from penstock.record import Entry, Run


@contextmanager
def on_stderr() -> Iterator[Watch]:
    """A watch for this process's stderr."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Lines()
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}", style="dim"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as bars:
        yield Bars(bars)


class Lines:
    """Every line of every job, with the stage that said it."""

    def planned(self, run: Run) -> None:
        self._print(_planned(run))

    def began(self, name: str) -> None:
        pass

    def said(self, name: str, line: str) -> None:
        self._print(f"{name} | {line}")

    def ended(self, entry: Entry) -> None:
        self._print(
            f"{entry.name} {entry.state} in {styles.seconds(entry.seconds)}: {entry.failure or entry.why}"
        )

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Bars:
    """A bar a stage at work, and a line a stage that ended."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def planned(self, run: Run) -> None:
        self._bars.console.print(escape(_planned(run)))

    def began(self, name: str) -> None:
        self._tasks[name] = self._bars.add_task(name, total=None, note="")

    def said(self, name: str, line: str) -> None:
        told = progress.parse(line)
        if told is None:
            self._bars.update(self._tasks[name], note=escape(line[:100]))
            return
        if not told.total:
            self._begin_anew(name)  # a bar that knew its total cannot forget it
        so_far = f"{told.done:,}/{told.total:,}" if told.total else f"{told.done:,}"
        note = f"{told.what} {so_far} {told.note}"
        self._bars.update(
            self._tasks[name],
            completed=told.done,
            total=told.total or None,
            note=escape(note.strip()[:100]),
        )

    def _begin_anew(self, name: str) -> None:
        if any(task.id == self._tasks[name] and task.total is not None for task in self._bars.tasks):
            self._bars.remove_task(self._tasks[name])
            self.began(name)

    def ended(self, entry: Entry) -> None:
        task = self._tasks.pop(entry.name, None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.console.print(
            f"{styles.state(entry.state)} {entry.name} [dim]{styles.seconds(entry.seconds)}[/] "
            f"{escape(str(entry.failure or entry.why))}"
        )


def _planned(run: Run) -> str:
    window = f"{run.window[0]} … {run.window[-1]}" if len(run.window) > 1 else str(run.interval)
    return f"run {run.run} of {run.pipeline}: interval {run.interval}, window {window}"
