"""What most commands begin with: this project's settings, its pipelines, and their runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from penstock.errors import PenstockError, SpecError

if TYPE_CHECKING:
    from penstock import Pipeline
    from penstock.chain import Chain
    from penstock.record import Record, Runs
    from penstock.settings import Settings
    from penstock.targets import Target


def settings() -> Settings:
    from penstock import settings

    return settings.load()


def pipeline(name: str, here: Settings) -> Pipeline:
    """The declaration of a pipeline. Raises SpecError."""
    from penstock import loader

    return loader.load(name, here.dags)


def chain(name: str, here: Settings) -> Chain:
    """The steps of a pipeline. Raises SpecError, StoreError."""
    from penstock.chain import Chain

    return Chain(here, pipeline(name, here))


@dataclass(frozen=True)
class Live:
    """A pipeline's function: its name, and the platform that has it."""

    name: str
    target: Target


def declared_function(name: str, here: Settings) -> Live:
    """A pipeline's function by its declaration alone. Raises SpecError, TargetError."""
    from penstock.targets import open_target

    declared = pipeline(name, here)
    return Live(declared.function_name, open_target(declared.function, here.host_state))


def function(name: str, here: Settings) -> Live:
    """A pipeline's function, also where its spec is broken or gone: who is on call must still reach it.

    Raises SpecError where neither spec, store nor registry know the pipeline, TargetError.
    """
    from penstock.spec.function import Function
    from penstock.targets import open_target

    try:
        return declared_function(name, here)
    except SpecError:
        found = _packaged_name(name, here)
        if found is None:
            raise
    print(
        f"the spec of {name} cannot be read (see penstock check); going by its registered package",
        file=sys.stderr,
    )
    return Live(found, open_target(Function(), here.host_state))


def _packaged_name(name: str, here: Settings) -> str | None:
    """The function's name in the newest registered package; the pipeline's own where it only has runs; else None."""
    from penstock.registry import Registry
    from penstock.store import Store

    store = Store(here.store)
    for version in Registry(here.mlflow_uri).versions(name):
        registered = store.find_at(version.register_path) if version.register_path else None
        if registered is not None:
            return str(registered.spec["function"])
    return name if name in runs(here).pipelines() else None


def names(name: str | None, here: Settings) -> list[str]:
    """The pipeline that was named, else all of the project. Raises SpecError where there is none of that name."""
    from penstock import loader

    known = loader.names(here.dags)
    if name is None:
        return known
    if name not in known:
        raise SpecError(
            f"there is no pipeline {name!r} in {here.dags}; pipelines here: {', '.join(known) or 'none'}",
            next_step=f"check the name, or make it: penstock init {name}",
        )
    return [name]


def runs(here: Settings) -> Runs:
    """The records of all runs."""
    from penstock.record import Runs
    from penstock.store import Store

    return Runs(Store(here.store))


def instant(text: str, option: str) -> datetime:
    """A date, or a date and time, as UTC. Raises PenstockError naming the option."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise PenstockError(
            f"{option} is {text!r}: expected a date such as 2013-06-01, or a time such as 2013-06-01T12:00",
            next_step=f"write {option} YYYY-MM-DD",
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def find_run(wanted: str, here: Settings) -> Record:
    """The run of that id or unique beginning, or the newest for `last`; `PIPELINE/RUN` where two pipelines have it.

    Raises PenstockError where there is none, or more than one.
    """
    kept = runs(here)
    only, _, run = wanted.rpartition("/")
    every = [record for name in kept.pipelines() if only in ("", name) for record in kept.all(name)]
    every.sort(key=lambda record: record.run.started, reverse=True)
    if run == "last":
        found = every[:1]
    else:
        found = [record for record in every if record.run.run == run]
        found = found or [record for record in every if record.run.run.startswith(run)]
    if len(found) == 1:
        return found[0]
    if not found:
        newest = ", ".join(record.run.run for record in every[:3]) or "none yet"
        raise PenstockError(
            f"there is no run {wanted!r} in the store; the newest are: {newest}",
            next_step="give a run's id, its beginning, or `last`",
        )
    names = ", ".join(f"{record.run.pipeline}/{record.run.run}" for record in found[:5])
    raise PenstockError(
        f"{len(found)} runs begin with {wanted!r}: {names}{', …' if len(found) > 5 else ''}",
        next_step="give more of its id, or PIPELINE/RUN",
    )
