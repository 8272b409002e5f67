"""What of the store and the scratch folder nothing leads to, and how it is removed.

Reached are the results of recent runs, what the registered versions lead to, and what these rest on in turn. What is
younger than a day stays whoever reaches it: a run that goes on may be about to. To logged predictions nothing leads: they
go when they are as old as their pipeline says.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from penstock import predictions
from penstock.errors import PenstockError
from penstock.record import Record, Runs, jobs_of
from penstock.redaction import redact
from penstock.registry import Registry
from penstock.results import StageResult
from penstock.settings import Settings
from penstock.spec.durations import Duration
from penstock.stages import STAGES
from penstock.store import Store
from penstock.work import application_of, events_of

_YOUNG = timedelta(days=1)


@dataclass(frozen=True)
class Keep:
    """Which runs count as recent: the newest `runs` of each pipeline, and those of the last `days`.

    `logs` has for how long pipelines keep their logged predictions; one that is not there keeps all.
    """

    runs: int = 20
    days: int = 30
    logs: Mapping[str, Duration] = field(default_factory=dict)


@dataclass(frozen=True)
class Garbage:
    """A key's folder, an attempt that did not win, Spark's log of a key's making, what pods of a run were asked and
    answered, a day of logged predictions, or a leftover in the scratch folder; `path` as Store has it."""

    path: str
    kind: Literal["key", "attempt", "events", "jobs", "predictions", "temporary"]
    bytes: int


@dataclass(frozen=True)
class Found:
    """What is garbage, and how many keys are not."""

    garbage: list[Garbage]
    kept: int


@dataclass(frozen=True, order=True)
class _Key:
    pipeline: str
    stage: str
    key: str

    @classmethod
    def of(cls, path: str) -> _Key | None:
        """The key of an attempt's path; None for what is no path in the store (a suite of the project)."""
        parts = path.split("/")
        return cls(*parts[:3]) if len(parts) == 4 and parts[1] in STAGES else None

    @property
    def path(self) -> str:
        return f"{self.pipeline}/{self.stage}/{self.key}"


class Collector:
    """Finds and removes the garbage of one installation."""

    def __init__(self, settings: Settings, registry: Registry, keep: Keep, now: datetime) -> None:
        self._settings = settings
        self._store = Store(settings.store)
        self._runs = Runs(self._store)
        self._registry = registry
        self._keep = keep
        self._now = now

    def find(self) -> Found:
        """Look for garbage; nothing is changed.

        Raises PenstockError where the registry knows nothing of a pipeline whose registered packages the store has: it
        would all be garbage, and more likely the registry is the wrong one.
        """
        runs = {pipeline: self._by_age(pipeline) for pipeline in self._runs.pipelines()}
        keys = {
            _Key(pipeline, stage, key)
            for pipeline in runs
            for stage in STAGES
            for key in self._store.names(f"{pipeline}/{stage}")
        }
        reached = self._reached(keys, {pipeline: recent for pipeline, (recent, _) in runs.items()})
        garbage = [Garbage(key.path, "key", self._size(key.path)) for key in sorted(keys - reached)]
        garbage += [each for key in sorted(reached) for each in self._losers(key)]
        for pipeline, (_, old) in runs.items():
            garbage += [*self._events(pipeline, reached), *self._jobs(pipeline, old), *self._logged(pipeline)]
        return Found([*garbage, *self._temporary()], len(reached))

    def delete(self, garbage: Iterable[Garbage]) -> list[Garbage]:
        """Remove what was found, unless something leads to it by now; returns what was removed."""
        still = set(self.find().garbage)
        gone = [each for each in garbage if each in still]
        for each in gone:
            if each.kind == "temporary":
                path = Path(each.path)
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                continue
            if each.kind == "key":
                # The result first: whoever looks in between finds a key that nobody has made, never half of one.
                self._store.remove(f"{each.path}/_result.json")
            self._store.remove(each.path)
        return gone

    # -- what is reached -----------------------------------------------------------------------------------------

    def _reached(self, keys: set[_Key], recent: Mapping[str, Sequence[Record]]) -> set[_Key]:
        results = {key: self._store.result(key.pipeline, key.stage, key.key) for key in keys}
        front = {key for key, result in results.items() if self._is_young(key, result)}
        for pipeline, records in recent.items():
            versions = self._of_versions(pipeline)
            if not versions and any(key.pipeline == pipeline and key.stage == "register" for key in keys):
                raise PenstockError(
                    f"the registry at {redact(self._settings.mlflow_uri)} has no version of {pipeline}, while the store has its "
                    "packages: without the registry nobody knows which are garbage",
                    next_step=f"check PENSTOCK_MLFLOW_URI; `penstock remove {pipeline}` takes all of it away",
                )
            front |= versions | _of_runs(records)
        reached: set[_Key] = set()
        while front:
            reached |= front
            inputs = (
                given for key in front if (result := results.get(key)) for given in result.inputs.values()
            )
            front = {key for given in inputs if (key := _Key.of(given.path))} - reached
        return reached & keys

    def _by_age(self, pipeline: str) -> tuple[list[Record], list[Record]]:
        """The runs of a pipeline that count as recent, and the others."""
        since = self._now - timedelta(days=self._keep.days)
        sides: tuple[list[Record], list[Record]] = ([], [])
        for number, record in enumerate(self._runs.all(pipeline)):
            recent = number < self._keep.runs or record.run.started >= since
            sides[not recent].append(record)
        return sides

    def _of_versions(self, pipeline: str) -> set[_Key]:
        versions = self._registry.versions(pipeline)
        paths = [
            path for version in versions for path in (version.register_path, version.verdict_path) if path
        ]
        return {key for path in paths if (key := _Key.of(path))}

    def _is_young(self, key: _Key, result: StageResult | None) -> bool:
        if result is not None:
            ended = datetime.fromisoformat(result.started) + timedelta(seconds=result.seconds)
            return self._now - ended < _YOUNG
        return any(self._age(f"{key.path}/{name}") < _YOUNG for name in self._store.names(key.path))

    # -- the rest ------------------------------------------------------------------------------------------------

    def _losers(self, key: _Key) -> list[Garbage]:
        """Attempts of a key that is kept which did not win it, and are over."""
        result = self._store.result(key.pipeline, key.stage, key.key)
        winner = result.attempt if result else None
        names = [name for name in self._store.names(key.path) if name not in (winner, "_result.json")]
        paths = [path for name in names if self._age(path := f"{key.path}/{name}") >= _YOUNG]
        return [Garbage(path, "attempt", self._size(path)) for path in paths]

    def _events(self, pipeline: str, reached: set[_Key]) -> list[Garbage]:
        """Spark's event logs that tell of no key that is kept, and are over."""
        kept = {application_of(key.stage, key.key) for key in reached if key.pipeline == pipeline}
        folder = events_of(pipeline)
        paths = [
            path
            for name in self._store.names(folder)
            if not name.startswith(".")
            and not any(application in name for application in kept)
            and self._age(path := f"{folder}/{name}") >= _YOUNG
        ]
        return [Garbage(path, "events", self._size(path)) for path in paths]

    def _jobs(self, pipeline: str, old: Sequence[Record]) -> list[Garbage]:
        """What pods of runs that are no more recent were asked and answered."""
        paths = [jobs_of(pipeline, record.run.run) for record in old]
        return [Garbage(path, "jobs", self._size(path)) for path in paths if self._store.exists(path)]

    def _logged(self, pipeline: str) -> list[Garbage]:
        """Days of logged predictions that were over before as long ago as their pipeline keeps them."""
        kept = self._keep.logs.get(pipeline)
        if kept is None:
            return []
        since = kept.before(self._now)
        paths = [path for path, over in predictions.days(pipeline, self._store) if over <= since]
        return [Garbage(path, "predictions", self._size(path)) for path in paths]

    def _temporary(self) -> list[Garbage]:
        folder = self._settings.var / "tmp"
        found = []
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            files = [path, *path.rglob("*")]
            newest = max((file.lstat().st_mtime for file in files if file.exists()), default=0.0)
            if self._now - datetime.fromtimestamp(newest, UTC) >= _YOUNG:
                size = sum(file.lstat().st_size for file in files if file.is_file())
                found.append(Garbage(str(path), "temporary", size))
        return found

    def _age(self, relative: str) -> timedelta:
        """How long nothing below a folder (or the file itself) was written; zero where nobody can tell."""
        path = self._store.path(relative)
        infos = [self._store.fs.info(path), *self._store.fs.find(path, withdirs=True, detail=True).values()]
        times = [time for info in infos if (time := _changed(info))]
        return self._now - max(times) if times else timedelta(0)

    def _size(self, relative: str) -> int:
        return int(self._store.fs.du(self._store.path(relative)))


def _of_runs(records: Sequence[Record]) -> set[_Key]:
    paths = [item.path for record in records for entry in record.entries for item in entry.items]
    return {key for path in paths if (key := _Key.of(path))}


def _changed(info: dict[str, object]) -> datetime | None:
    """When a file was written, by the names that fsspec's filesystems give it."""
    for name in ("mtime", "LastModified", "last_modified", "updated"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
    return None
