"""Looks at a candidate and its rival, and asks each gate."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from jobs.common.job import Work
from jobs.common.metrics import compute
from jobs.common.scorer import scorer
from jobs.fit import measure
from jobs.validate_model import champion as rivals
from jobs.validate_model.comparison import Comparison, Plan, compare
from jobs.validate_model.difference import difference
from jobs.validate_model.gates import champion, fit, holdout, parity, slices
from jobs.validate_model.gates.champion import Duel, Unscorable
from jobs.validate_model.judgement import Judgement, Model
from jobs.validate_model.scored import Holdout, Scored, from_graph
from penstock.results import GateResult
from penstock.spec.gates import ChampionGate, Gates, SliceGate
from penstock_function.package import Package, PackageError


def judge(work: Work, runtimes: ExitStack) -> Judgement:
    """Judge the candidate of a work item; its package can be scored until `runtimes` is closed.

    Raises StoreError where an input's result is gone from the store.
    """
    spec = work.spec
    settings = Gates.model_validate(spec["gates"])
    candidate = _model(work, "register", "train", datetime.fromisoformat(spec["window_end"]))
    rows = Holdout.read(
        work.fetch("train", "holdout.parquet"),
        task=spec["task"], label=spec["label"], id=spec["id"], time=spec["time"],
    )  # fmt: skip
    folder = work.fetch("register", "package")
    package = runtimes.enter_context(scorer(folder))
    challenger = from_graph(spec["task"], rows.spark.y, package.score_columns(rows.columns))
    print(f"scored {len(rows)} holdout rows with the package", flush=True)

    rival = _model(work, "champion", "champion_train") if "champion" in work.item.inputs else None
    found = None if rival is None else _rival_answers(work, package.package, rows)
    comparable = found if isinstance(found, rivals.Answers) else None
    plan = _plan(spec, settings, rows)
    comparison = compare(challenger, comparable.scored if comparable else None, plan)
    metrics = _metrics(challenger)
    judged = _Judged(settings, spec["metric"], candidate, rival, comparison)
    return Judgement(
        pipeline=work.request.pipeline,
        task=spec["task"],
        metric=spec["metric"],
        candidate=candidate,
        rival=rival,
        holdout=rows,
        scorer=package,
        challenger=challenger,
        champion=comparable.scored if comparable else None,
        comparison=comparison,
        metrics=metrics,
        champion_metrics=_metrics(comparable.scored) if comparable else None,
        gates=[
            judged.holdout(challenger, metrics),
            judged.champion(found, len(rows)),
            judged.slices([name for name in spec["slices"] if name not in rows.columns]),
            parity.gate(settings.parity or None, difference(package, challenger, rows)),
            fit.gate(settings.fit or None, measured(folder)),
        ],
        confidence=plan.confidence,
        slice_loss=settings.slices.max_loss if settings.slices else None,
    )


def measured(package: Path) -> fit.Measured | fit.Refused:
    """What `penstock fit` says of the package, too."""
    try:
        found = measure.warm(package)
    except PackageError as error:
        return fit.Refused(str(error))
    return fit.Measured(
        size_mb=found.size_bytes / 1e6,
        memory_mb=found.memory_bytes / 1e6,
        latency_ms=found.own_p99_ms,
        payload_kb=found.payload_bytes / 1e3,
    )


@dataclass(frozen=True)
class _Judged:
    """What several gates look at."""

    settings: Gates
    metric: str
    candidate: Model
    rival: Model | None
    comparison: Comparison

    def holdout(self, challenger: Scored, metrics: dict[str, float]) -> GateResult:
        thresholds = None if self.settings.holdout is False else self.settings.holdout
        _, counts = np.unique(challenger.y, return_counts=True)
        shares = tuple(float(count) / len(challenger) for count in counts)
        return holdout.gate(thresholds, challenger.task, metrics, shares=shares)

    def champion(self, found: rivals.Answers | Unscorable | None, rows: int) -> GateResult:
        return champion.gate(
            self.settings.champion or None,
            self._duel(found, rows) if isinstance(found, rivals.Answers) else found,
            window_end=self.candidate.window_end,
            champion_window_end=self.rival.window_end if self.rival else None,
        )

    def slices(self, missing: list[str]) -> GateResult:
        found = self.comparison
        return slices.gate(
            self.settings.slices or None, self.metric, found.groups, small=found.small, missing=missing
        )

    def _duel(self, found: rivals.Answers, rows: int) -> Duel:
        line = self.comparison.lines[self.metric]
        assert self.rival is not None
        assert line.champion is not None
        assert line.gain is not None
        return Duel(
            version=self.rival.version,
            metric=self.metric,
            champion=line.champion.point,
            challenger=line.challenger.point,
            gain=line.gain,
            rows=self.comparison.rows,
            holdout=rows,
            how=found.how,
        )


def _plan(spec: dict[str, object], settings: Gates, rows: Holdout) -> Plan:
    # With a gate off the report still shows its figures, by the defaults.
    duel, groups = settings.champion or ChampionGate(), settings.slices or SliceGate()
    names = [str(name) for name in spec["slices"]]  # type: ignore[attr-defined]
    return Plan(
        metric=str(spec["metric"]),
        slices={name: rows.columns[name] for name in names if name in rows.columns},
        min_rows=groups.min_rows,
        confidence=duel.confidence,
        resamples=duel.resamples,
    )


def _rival_answers(work: Work, package: Package, rows: Holdout) -> rivals.Answers | Unscorable:
    with scorer(work.fetch("champion", "package")) as rival:
        return rivals.answers(
            rival,
            package.classes,
            rows,
            work.fetch("champion_train", "holdout.parquet"),
            {name: work.spec[name] for name in ("label", "id", "time")},
            work.spec["metric"],
            work.request.pipeline,
        )


def _metrics(scored: Scored) -> dict[str, float]:
    return compute(scored.task, scored.y, scored.prediction, scored.probabilities, scored.raw)


def _model(work: Work, register: str, train: str, window_end: datetime | None = None) -> Model:
    registered = work.store.result_at(work.item.inputs[register].path)
    end = window_end or datetime.fromisoformat(registered.summary["window_end"])
    trained = work.store.result_at(work.item.inputs[train].path)
    return Model(registered.summary["version"], end, trained, registered)
