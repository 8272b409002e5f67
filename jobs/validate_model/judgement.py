"""All that was found out about a candidate, and what the gates said: what the report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from jobs.common.scorer import Scorer
from jobs.validate_model.comparison import Comparison
from jobs.validate_model.scored import Holdout, Scored
from penstock.results import GateResult, StageResult
from penstock.spec.metrics import Task


@dataclass(frozen=True)
class Model:
    """A registered model: its version, the end of its training window, its results of train and register."""

    version: str
    window_end: datetime
    train: StageResult
    register: StageResult

    @property
    def facts(self) -> dict[str, Any]:
        """The summary of its training."""
        return self.train.summary

    @property
    def run_id(self) -> str:
        """Its MLflow run."""
        return str(self.register.summary["mlflow_run_id"])


@dataclass(frozen=True)
class Judgement:
    """A candidate, its rival (None: nothing serves yet), their answers on the holdout, and the gates' verdicts.

    `champion` is None too where the rival's answers on these rows cannot be had. `confidence` is that of the
    metrics' intervals, `slice_loss` what a slice may lose (None: the default).
    """

    pipeline: str
    task: Task
    metric: str
    candidate: Model
    rival: Model | None
    holdout: Holdout
    scorer: Scorer
    challenger: Scored
    champion: Scored | None
    comparison: Comparison
    metrics: Mapping[str, float]
    champion_metrics: Mapping[str, float] | None
    gates: Sequence[GateResult]
    confidence: float
    slice_loss: float | None

    @property
    def promote(self) -> bool:
        return all(gate.passed for gate in self.gates)

    @property
    def verdict(self) -> Literal["promote", "refuse"]:
        return "promote" if self.promote else "refuse"

    @property
    def reason(self) -> str:
        """Why it was refused, gate by gate; empty where it was not."""
        return "; ".join(f"{gate.name}: {gate.why}" for gate in self.gates if not gate.passed)
