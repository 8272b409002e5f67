"""The chain: one step does one stage of one run, by reuse where its key is there, else by starting its job.

Airflow's tasks and the command line take the same steps; they differ only in who calls them, and in the
`start` that they bring (a local process, later a pod).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from penstock import code, suites
from penstock.code import Code
from penstock.errors import PenstockError, SpecError, Stale
from penstock.intervals import Interval, window
from penstock.items import Items
from penstock.record import Entry, Failure, ItemEntry, Record, Run, RunOptions, Runs, now
from penstock.registry import ROLLOUT, ROLLOUT_BECAUSE, Registry, Version
from penstock.results import GateResult, StageResult, State
from penstock.rollout.canary import canary
from penstock.settings import Settings
from penstock.spec.pipeline import Pipeline
from penstock.store import Store
from penstock.targets import Target, TargetError, open_target
from penstock.work import Item, Outcome, Request

Start = Callable[[Request], Outcome]
#: How often a verdict is made anew because another run promoted in between.
_JUDGE_AGAIN = 5
CodeOf = Callable[[Settings, Pipeline], Code]
_BY_SCHEDULE = RunOptions()


class Chain:
    """The steps of one pipeline on this installation, with the code of the checkout or of an image."""

    def __init__(self, settings: Settings, pipeline: Pipeline, code_of: CodeOf = code.of_checkout) -> None:
        self.settings = settings
        self.pipeline = pipeline
        self._code_of = code_of
        self.store = Store(settings.store)
        self.store.open_format()
        self.runs = Runs(self.store)
        self.registry = Registry(settings.mlflow_uri)

    @property
    def items(self) -> Items:
        """Asked anew in each step, as files change while a DAG or a run lives."""
        return Items(self.settings, self.store, self.pipeline, self._code_of(self.settings, self.pipeline))

    def check(self, options: RunOptions) -> None:
        """Whether a run can begin.

        Raises SpecError where a suite, or their folder, is not where the sources' suites are looked for;
        PenstockError for a number of trials where the search is a grid.
        """
        name, sources = self.pipeline.name, [source.name for source in self.pipeline.sources]
        for found in suites.misplaced(name, self.pipeline.suites, sources, self.settings.expectations):
            if found.severity == "error":
                raise SpecError(f"{found.where}: {found.message}", next_step=found.next_step)
        search = self.pipeline.search
        if options.trials is not None and search.method == "grid":
            raise PenstockError(
                f"{options.trials} trials were asked for, and the search of pipeline {name!r} is a grid, which "
                "tries every combination",
                next_step="ask for no number of trials, or declare a random search: Search(trials=..., ...)",
            )

    def plan(self, run: str, interval: Interval, options: RunOptions = _BY_SCHEDULE) -> Run:
        """Open a run's record; the same run planned again keeps its first plan. Raises what `check` does."""
        self.check(options)
        return self.runs.create(
            Run(
                run=run,
                pipeline=self.pipeline.name,
                interval=interval,
                window=window(self.pipeline, interval, options.since),
                force=options.force,
                trials=options.trials,
                note=options.note,
                started=now(),
            )
        )

    def record(self, run: str) -> Record:
        record = self.runs.read(self.pipeline.name, run)
        if record is None:
            raise PenstockError(
                f"pipeline {self.pipeline.name} has no run {run!r}", next_step="plan it first"
            )
        return record

    def step(self, run: str, stage: str, start: Start, interval: Interval | None = None) -> Entry:
        """Do one stage of a run and write its entry; never raises for what was foreseen: the entry says it."""
        record = self.record(run)
        clock = time.monotonic()
        try:
            if stage == "validate_model":
                entry = self._judge(record, start)
            elif stage == "deploy":
                entry = self._deploy(record, start)
            elif stage == "validate":
                entry = self._validate(record, start, interval)
            else:
                items = self.items.of(stage, record, interval)
                entry = self._do(record.run, stage, items, start, interval)
        except PenstockError as error:
            failure = Failure(
                kind=error.kind,
                message=error.message,
                next_step=error.next_step,
                exit_code=error.exit_code,
            )
            entry = _entry(stage, interval, "failed", error.message, failure=failure)
        entry = entry.model_copy(update={"seconds": round(time.monotonic() - clock, 3)})
        return self.runs.write(record.run, entry)

    # -- a stage by its keys -------------------------------------------------------------------------------

    def _do(
        self, run: Run, stage: str, items: list[Item], start: Start, interval: Interval | None = None
    ) -> Entry:
        found = {item.key: self.store.result(run.pipeline, stage, item.key) for item in items}
        missing = [item for item in items if found[item.key] is None]
        if missing:
            failure = self._start(run, stage, missing, start)
            if failure is not None:
                return _entry(stage, interval, "failed", failure.message, failure=failure)
            found |= {item.key: self.store.result(run.pipeline, stage, item.key) for item in missing}
        results = [result for result in found.values() if result is not None]
        assert len(results) == len(found), f"{stage} ended well without a result"
        # A run that waits elsewhere for its job comes here twice: what it made is not reused by it.
        made = {result.key for result in results if result.made_by.get("run") == run.run}
        entries = [
            ItemEntry(
                subject=result.subject,
                key=result.key,
                path=result.path,
                state=result.state if result.key in made or result.state != "ran" else "reused",
            )
            for result in results
        ]
        state, why = _verdict(stage, run, interval, results, len(made))
        return _entry(
            stage, interval, state, why,
            items=entries,
            summary=_summary(results),
            gates=[gate for result in results for gate in result.gates],
        )  # fmt: skip

    def _start(self, run: Run, stage: str, items: list[Item], start: Start) -> Failure | None:
        given = self.pipeline.resources.get(stage)  # type: ignore[call-overload]
        outcome = start(
            Request(
                stage=stage,
                pipeline=run.pipeline,
                run=run.run,
                items=items,
                cpu=given.cpu if given else None,
                memory=given.memory if given else None,
            )
        )
        if outcome.state == "done":
            return None
        assert outcome.kind is not None
        assert outcome.message is not None
        return Failure(
            kind=outcome.kind,
            message=outcome.message,
            next_step=outcome.next_step,
            exit_code=outcome.exit_code,
        )

    def _validate(self, record: Record, start: Start, interval: Interval | None) -> Entry:
        assert interval is not None
        items = self.items
        entry = self._do(record.run, "validate", items.of("validate", record, interval), start, interval)
        gates = [*entry.gates, *items.unasked(record.run, interval)]
        return entry.model_copy(update={"gates": gates})

    # -- judging and promoting -----------------------------------------------------------------------------

    def _judge(self, record: Record, start: Start) -> Entry:
        champion = self.registry.champion(self.pipeline.name)
        against = champion.register_path if champion else None
        if champion is not None and champion.version == _version(record):
            # Asked again what made it champion: where nothing changed since, that verdict stands.
            against = self._rival_of(champion)
        item = self.items.judge(record, against)
        return self._do(record.run, "validate_model", [item], start)

    def _rival_of(self, champion: Version) -> str | None:
        """The registration that the champion was judged against, None where it was the first of its pipeline.

        Where its verdict is gone, it is its own rival.
        """
        judged = self.store.find_at(champion.verdict_path) if champion.verdict_path else None
        if judged is None:
            return champion.register_path
        rival = judged.inputs.get("champion")
        return rival.path if rival else None

    def _deploy(self, record: Record, start: Start) -> Entry:
        version = _version(record)
        for _ in range(_JUDGE_AGAIN):
            judged = record.entry("validate_model")
            assert judged is not None
            if judged.state == "refused":
                reasons = "; ".join(f"{g.name}: {g.why}" for g in judged.gates if not g.passed)
                return _entry("deploy", None, "skipped", f"version {version} was refused: {reasons}")
            url = self._live_url(record)
            items = self.items.of("deploy", record, None)
            # Brought live by this very run: who waited for its job elsewhere comes here again.
            ours = all(self.store.result(record.run.pipeline, "deploy", item.key) for item in items)
            if url is not None and not ours and record.run.force != "deploy":
                why = f"version {version} is the champion and serves already"
                return _entry("deploy", None, "reused", why, summary={"version": version, "url": url})
            if not ours and record.run.force != "deploy" and (gate := self._rolled_back(version)):
                return _entry("deploy", None, "refused", _why(gate), gates=[gate])
            entry = self._do(record.run, "deploy", items, start)
            if entry.failure is None or entry.failure.kind != Stale.kind:
                return entry
            # Another run promoted since this model was judged: judge it against the new champion.
            self.runs.write(record.run, self._judge(record, start))
            record = self.record(record.run.run)
        raise PenstockError(
            f"other runs promoted {_JUDGE_AGAIN} times while version {version} was judged",
            next_step="start the run again",
        )

    def _rolled_back(self, version: str) -> GateResult | None:
        """The verdict of a version's rollout that ended without it; None where there was none.

        It is not begun again unless it is forced.
        """
        if self.pipeline.function.rollout is None:
            return None
        found = self.registry.version(self.pipeline.name, version)
        state = found.tags.get(ROLLOUT) if found else None
        if found is None or state not in ("worse", "aborted"):
            return None
        return canary(version, state, found.tags.get(ROLLOUT_BECAUSE, "no reason given"))

    def _live_url(self, record: Record) -> str | None:
        """Where the run's own package serves as declared, being the champion's; None where it does not."""
        champion = self.registry.champion(self.pipeline.name)
        if champion is None or champion.version != _version(record):
            return None
        try:
            status = self.target.status(self.pipeline.function_name)
        except TargetError:  # nobody answers: deploying says why, or mends it
            return None
        ours = status.live == _registered(record).summary["revision"]
        return status.url if ours and not status.differs else None

    @property
    def target(self) -> Target:
        return open_target(self.pipeline.function, self.settings.host_state)


def _registered(record: Record) -> Entry:
    registered = record.entry("register")
    if registered is None:
        raise PenstockError(
            f"run {record.run.run} has registered no version", next_step="start the run again"
        )
    return registered


def _version(record: Record) -> str:
    return str(_registered(record).summary["version"])


def _verdict(
    stage: str, run: Run, interval: Interval | None, results: list[StageResult], ran: int
) -> tuple[State, str]:
    """A stage's state and why, from its results, of which `ran` are new."""
    empty = [
        result.subject
        for result in results
        if stage == "collect" and interval == run.interval and result.summary.get("rows") == 0
    ]
    if empty:
        return "skipped", f"the interval {interval} is empty: no rows in {', '.join(empty)}"
    refused = [result for result in results if result.state == "refused"]
    if refused:
        return "refused", "; ".join(
            _why(gate) for result in refused for gate in result.gates if not gate.passed
        )
    if not results:
        return "skipped", "nothing was validated: no source of this interval has a suite"
    if ran == 0:
        return "reused", f"nothing it rests on changed: {_keys(results)}"
    if ran < len(results):
        return "ran", f"{ran} of {len(results)} keys were new"
    return "ran", f"new: {_keys(results)}"


def _why(gate: GateResult) -> str:
    return f"gate {gate.name}: {gate.why}"


def _keys(results: list[StageResult]) -> str:
    return ("key " if len(results) == 1 else "keys ") + ", ".join(result.key[:12] for result in results)


def _summary(results: list[StageResult]) -> dict[str, object]:
    if len(results) == 1 and not results[0].subject:
        return results[0].summary
    return {result.subject: result.summary for result in results}


def _entry(
    stage: str,
    interval: Interval | None,
    state: State,
    why: str,
    *,
    items: list[ItemEntry] | None = None,
    summary: dict[str, object] | None = None,
    gates: list[GateResult] | None = None,
    failure: Failure | None = None,
) -> Entry:
    return Entry(
        stage=stage,
        interval=interval,
        state=state,
        why=why,
        items=items or [],
        summary=summary or {},
        gates=gates or [],
        failure=failure,
        ended=now(),
    )
