"""What each stage is asked: the part of the spec that it reads, and the inputs that it rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock import steps, suites
from penstock.code import Code
from penstock.errors import PenstockError
from penstock.fingerprints import fingerprint
from penstock.intervals import Interval
from penstock.record import Entry, Record, Run
from penstock.results import GateResult, Input
from penstock.settings import Settings
from penstock.spec.pipeline import Pipeline
from penstock.spec.sources import Files, Table
from penstock.store import Store
from penstock.work import Item


@dataclass(frozen=True)
class Items:
    """Makes the items of a run's stages from the results of the stages before."""

    settings: Settings
    store: Store
    pipeline: Pipeline
    code: Code

    def of(self, stage: str, record: Record, interval: Interval | None) -> list[Item]:
        """The items of one task: a stage, and its interval where it has one task an interval."""
        if stage in ("collect", "validate"):
            assert interval is not None
            makers: dict[str, Callable[[Record, Interval], list[Item]]] = {
                "collect": self._collect,
                "validate": self._validate,
            }
            return makers[stage](record, interval)
        single: dict[str, Callable[[Record], Item]] = {
            "features": self._features,
            "train": self._train,
            "register": self._register,
            "deploy": self._deploy,
        }
        return [single[stage](record)]

    def judge(self, record: Record, champion: str | None) -> Item:
        """The item of validate_model against the champion's registration (`champion`: its path in the store)."""
        registered, trained = self._only(record, "register"), self._only(record, "train")
        inputs = {"train": trained, "register": registered}
        if champion is not None:
            result = self.store.result_at(champion)
            inputs |= {"champion": result.as_input(), "champion_train": result.inputs["train"]}
        spec = {
            **self._spec("task", "label", "id", "time", "slices", "metric", "gates"),
            "better": self.pipeline.better,
            "window_end": _iso(record.run.interval.end),
        }
        return self._item("validate_model", record, spec, inputs)

    def unasked(self, run: Run, interval: Interval) -> list[GateResult]:
        """The data gates of the sources of an interval that have no suite."""
        return [
            suites.unasked(source.name, self._suite(source))
            for source in self.sources(run, interval)
            if source.name not in self.code.suites
        ]

    # -- one function a stage ------------------------------------------------------------------------------

    def _collect(self, record: Record, interval: Interval) -> list[Item]:
        items = []
        for source in self.sources(record.run, interval):
            seen = fingerprint(source, interval, self.settings)
            spec = {
                "source": source.model_dump(mode="json"),
                "interval": {"start": _iso(interval.start), "end": _iso(interval.end)},
            }
            inputs = {} if seen is None else {"fingerprint": Input(path="", digest=seen)}
            # A source that has no cheap fingerprint is read in each run; its content then decides what follows.
            salt = record.run.run if seen is None else None
            subject = f"{source.name}@{interval}"
            items.append(self._item("collect", record, spec, inputs, subject=subject, salt=salt))
        return items

    def _validate(self, record: Record, interval: Interval) -> list[Item]:
        items = []
        for source in self.sources(record.run, interval):
            digest = self.code.suites.get(source.name)
            if digest is None:
                continue
            subject = f"{source.name}@{interval}"
            inputs = {
                "data": self._input(record, f"collect@{interval}", subject),
                "suite": Input(path=self._suite(source), digest=digest),
            }
            spec = {"source": source.name, "snapshot": source.snapshot, "gate": self.pipeline.gates.data}
            items.append(self._item("validate", record, spec, inputs, subject=subject))
        return items

    def _features(self, record: Record) -> Item:
        pipeline, run = self.pipeline, record.run
        holdout = pipeline.holdout.before(run.interval.end)
        inputs = {
            f"{source.name}@{interval}": self._input(
                record, f"collect@{interval}", f"{source.name}@{interval}"
            )
            for interval in run.window
            for source in self.sources(run, interval)
        }
        spec = {
            **self._spec("task", "label", "time", "id", "slices", "sensitive"),
            "window": {"start": _iso(run.window[0].start), "end": _iso(run.interval.end)},
            "validation_start": _iso(pipeline.holdout.before(holdout)),
            "holdout_start": _iso(holdout),
            "sources": [source.name for source in pipeline.sources],
        }
        return self._item("features", record, spec, {**inputs, "folder": self._folder})

    def _train(self, record: Record) -> Item:
        search = self.pipeline.search.model_dump(mode="json")
        if record.run.trials is not None:
            search["trials"] = record.run.trials
        spec = {
            **self._spec("task", "label", "time", "id", "slices", "metric", "balance"),
            "better": self.pipeline.better,
            "search": search,
            "bundle": self.pipeline.function.bundle,
        }
        inputs = {"features": self._only(record, "features"), "folder": self._folder}
        return self._item("train", record, spec, inputs)

    def _register(self, record: Record) -> Item:
        pipeline, function = self.pipeline, self.pipeline.function
        spec = {
            **self._spec("task", "label", "problem"),
            "function": pipeline.function_name,
            "bundle": function.bundle,
            "output": pipeline.function_output,
            "tolerance": pipeline.gates.parity.tolerance if pipeline.gates.parity else 1e-6,
            "log": {"rate": function.log, "sensitive": sorted(pipeline.sensitive)} if function.log else None,
            "steps": function.steps,
            "window_end": _iso(record.run.interval.end),
        }
        own = {
            steps.input_of(name): Input(path=f"steps/{name}", digest=self.code.steps[name])
            for name in function.own_steps
        }
        return self._item("register", record, spec, {"train": self._only(record, "train"), **own})

    def _deploy(self, record: Record) -> Item:
        judged = self._entry(record, "validate_model")
        spec = {
            "function": self.pipeline.function_name,
            "declared": self.pipeline.function.model_dump(mode="json"),
        }
        inputs = {
            "register": self._only(record, "register"),
            "validate_model": Input(path=judged.items[0].path, digest=judged.items[0].key),
        }
        # Deploying is reconciling, not an artifact: it is never reused by key.
        salt = f"{record.run.run}:{judged.ended.isoformat()}"
        return self._item("deploy", record, spec, inputs, salt=salt)

    # -- shared --------------------------------------------------------------------------------------------

    def sources(self, run: Run, interval: Interval) -> list[Files | Table]:
        """What is read for an interval: dated sources in each, snapshots only in the run's newest."""
        newest = interval == run.interval
        return [source for source in self.pipeline.sources if newest or not source.snapshot]

    def _suite(self, source: Files | Table) -> str:
        path = suites.path(self.settings.expectations, self.pipeline.suites, source.name)
        return path.relative_to(self.settings.root).as_posix()

    @property
    def _folder(self) -> Input:
        return Input(path="", digest=self.code.folder)

    def _item(
        self,
        stage: str,
        record: Record,
        spec: dict[str, Any],
        inputs: dict[str, Input],
        *,
        subject: str = "",
        salt: str | None = None,
    ) -> Item:
        if record.run.force == stage:
            salt = record.run.run if salt is None else salt
        return Item.make(
            stage,
            subject=subject,
            spec=spec,
            inputs=inputs,
            salt=salt,
            code=self.code.stages[stage],
            environment=self.code.environment,
        )

    def _spec(self, *fields: str) -> dict[str, Any]:
        return self.pipeline.model_dump(mode="json", include=set(fields))

    def _entry(self, record: Record, name: str) -> Entry:
        entry = record.entry(name)
        if entry is None or not entry.items:
            raise PenstockError(
                f"run {record.run.run} of {self.pipeline.name} has no result of stage {name}",
                next_step=f"clear {name} in Airflow, or start the run again",
            )
        return entry

    def _input(self, record: Record, name: str, subject: str) -> Input:
        entry = self._entry(record, name)
        item = next(item for item in entry.items if item.subject == subject)
        return self.store.result_at(item.path).as_input()

    def _only(self, record: Record, stage: str) -> Input:
        return self._input(record, stage, "")


def _iso(at: Any) -> str:
    return str(at.isoformat())
