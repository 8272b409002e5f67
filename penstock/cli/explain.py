"""`penstock explain`: why each stage of a run ran or was reused, and why each gate said what it said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli import project, styles
from penstock.cli.answers import Difference, ExplainAnswer, ExplainedItem, ExplainedStage, GateAnswer
from penstock.cli.command import command

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.record import Entry, ItemEntry, Record
    from penstock.results import StageResult
    from penstock.store import Store


def add_to(app: typer.Typer) -> None:
    command(app, "explain", show)(explain)


def explain(
    run: Annotated[
        str, typer.Argument(help="A run's id or its beginning, or `last`; PIPELINE/RUN where needed.")
    ],
) -> ExplainAnswer:
    """Say why each stage of a run did what it did, and why each gate said what it said."""
    from penstock import local
    from penstock.store import Store

    here = project.settings()
    record = project.find_run(run, here)
    store = Store(here.store)
    started = record.run.started
    earlier = [each for each in project.runs(here).all(record.run.pipeline) if each.run.started < started]
    return ExplainAnswer(
        run=record.run.run,
        pipeline=record.run.pipeline,
        interval=record.run.interval,
        state=local.state(record, here),
        force=record.run.force,
        note=record.run.note,
        stages=[_stage(entry, earlier, store) for entry in record.entries],
    )


def _stage(entry: Entry, earlier: list[Record], store: Store) -> ExplainedStage:
    return ExplainedStage(
        name=entry.name,
        state=entry.state,
        why=entry.why,
        items=[_item(entry, item, earlier, store) for item in entry.items],
        gates=[GateAnswer.of(entry.name, gate) for gate in entry.gates],
        failure=entry.failure,
    )


def _item(entry: Entry, item: ItemEntry, earlier: list[Record], store: Store) -> ExplainedItem:
    result = _result(store, item.path)
    run, before = next(_same_item(entry, item, earlier), (None, None))
    differences = []
    if before is not None and before.key != item.key:
        old = _result(store, before.path)
        if old is None or result is None:
            differences = [
                Difference(
                    what="key (what it rested on is not in the store any more)",
                    before=before.key,
                    now=item.key,
                )
            ]
        else:
            differences = list(_differences(old, result))
    return ExplainedItem(
        subject=item.subject,
        key=item.key,
        state=item.state,
        made_by=result.made_by.get("run") if result else None,
        compared_with=run,
        differences=differences,
    )


def _same_item(entry: Entry, item: ItemEntry, earlier: list[Record]) -> Iterator[tuple[str, ItemEntry]]:
    """The same item of earlier runs, the newest first. A stage of one item a run is the same in every run."""
    for record in earlier:
        for other in record.entries:
            if other.stage == entry.stage:
                yield from ((record.run.run, each) for each in other.items if each.subject == item.subject)


def _differences(old: StageResult, new: StageResult) -> Iterator[Difference]:
    """What two keys of a stage rest on, where it is not the same."""
    for what in ("code", "environment"):
        yield from _differ(what, old.made_by.get(what), new.made_by.get(what))
    yield from _differ("salt", old.salt, new.salt)
    for path, before, now in _changes(old.spec, new.spec):
        yield Difference(what=f"spec {path}", before=before, now=now)
    for name in sorted({*old.inputs, *new.inputs}):
        was, given = old.inputs.get(name), new.inputs.get(name)
        yield from _differ(f"input {name}", was.digest if was else None, given.digest if given else None)


def _differ(what: str, before: str | None, now: str | None) -> Iterator[Difference]:
    if before != now:
        yield Difference(what=what, before=before, now=now)


def _changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str | None, str | None]]:
    """Where two JSON objects differ, leaf by leaf: path, value before, value now."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from _changes(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif old != new:
        yield path, _text(old), _text(new)


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _result(store: Store, path: str) -> StageResult | None:
    pipeline, stage, key, _ = path.split("/")
    return store.result(pipeline, stage, key)


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: ExplainAnswer, console: Console) -> None:
    """A paragraph a stage."""
    from rich.markup import escape

    console.print(
        f"run [bold]{answer.run}[/] of {answer.pipeline}, interval {answer.interval}: {styles.state(answer.state)}",
        soft_wrap=True,
    )
    if answer.note:
        console.print(f"note: {escape(answer.note)}", soft_wrap=True)
    if answer.force:
        console.print(f"{answer.force} was done anew on request (--force)")
    for stage in answer.stages:
        console.print(
            f"\n[bold]{stage.name}[/] {styles.state(stage.state)}: {escape(str(stage.failure or stage.why))}",
            soft_wrap=True,
        )
        for item in stage.items:
            for line in _lines(answer, stage, item):
                console.print(f"  {escape(line)}", soft_wrap=True)
        for gate in stage.gates:
            _show_gate(gate, console)


def _lines(answer: ExplainAnswer, stage: ExplainedStage, item: ExplainedItem) -> Iterator[str]:
    subject = f"{item.subject} " if item.subject else ""
    made = "" if item.made_by in (None, answer.run) else f", made by run {item.made_by}"
    yield f"{subject}key {item.key[:12]}{made}"
    if item.compared_with is None:
        yield "  first of its kind: no earlier run has it"
    elif not item.differences:
        yield f"  nothing differs from run {item.compared_with}"
    for difference in item.differences:
        yield f"  {difference.what}: {_cut(difference.before)} -> {_cut(difference.now)} (since run {item.compared_with})"


def _cut(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if len(value) <= 60 else value[:57] + "…"


def _show_gate(gate: GateAnswer, console: Console) -> None:
    from rich.markup import escape

    from penstock.cli.gates import verdict

    console.print(
        f"  gate {gate.name} {verdict(gate)}: observed {escape(gate.observed)}, required {escape(gate.required)}; "
        f"{escape(gate.why)}",
        soft_wrap=True,
    )
    if gate.next_step and not gate.passed:
        console.print(f"    To do: {escape(gate.next_step)}", soft_wrap=True)
