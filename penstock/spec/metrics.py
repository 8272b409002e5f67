"""The metrics a pipeline can be judged by, with the direction that is better."""

from __future__ import annotations

from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
Direction = Literal["maximize", "minimize"]

METRICS: dict[Task, dict[str, Direction]] = {
    "binary": {
        "roc_auc": "maximize", "pr_auc": "maximize", "log_loss": "minimize",
        "brier": "minimize", "accuracy": "maximize", "f1": "maximize",
    },
    "multiclass": {"accuracy": "maximize", "macro_f1": "maximize", "log_loss": "minimize"},
    "regression": {"rmse": "minimize", "mae": "minimize", "r2": "maximize"},
}  # fmt: skip

#: Metrics that ask how a model orders the rows: by the probability of class 1, or by any other score of it.
RANKED = frozenset({"roc_auc", "pr_auc"})
#: Metrics that ask for the probabilities themselves.
OF_PROBABILITIES = frozenset({"log_loss", "brier"})
