"""What a scaffold is made of: decided once, from a CSV's columns or for the example, and poured into templates."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, field
from typing import Any

from penstock.spec.metrics import METRICS, Task


@dataclass(frozen=True)
class Plan:
    """Everything that the templates say. Texts that are code are ready to be pasted; the others are quoted there."""

    name: str
    problem: str
    row: str
    task: Task
    label: str
    time: str
    id: str
    source: str
    uri: str
    schedule: str | None
    start: str
    end: str
    window: str
    holdout: str
    categories: list[str]
    numbers: list[str]
    max_categories: int = 0
    classes: int = 2
    slices: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    label_type: str = "long"
    least: float | None = None

    @property
    def owner(self) -> str:
        """Who makes it: the spec wants a name to ask."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):  # a user id without a name, as in containers
            return os.environ.get("USER", "nobody")

    @property
    def imports(self) -> list[str]:
        return sorted({"files", self.window.split("(")[0], self.holdout.split("(")[0]})

    @property
    def metric(self) -> str:
        return {"binary": "roc_auc", "multiclass": "macro_f1", "regression": "rmse"}[self.task]

    @property
    def threshold(self) -> tuple[str, str]:
        """A bound that guessing does not pass."""
        metric, least = {
            "binary": ("roc_auc", 0.5),
            "multiclass": ("accuracy", round(1 / self.classes, 2)),
            "regression": ("r2", 0.0),
        }[self.task]
        assert metric in METRICS[self.task]
        return metric, f"> {least if self.least is None else self.least:g}"

    @property
    def trees(self) -> bool:
        return self.task != "multiclass"

    @property
    def one_hot(self) -> bool:
        return bool(self.categories) and not self.trees

    @property
    def search(self) -> str:
        if self.trees:
            return "trials=4, maxDepth=[3, 5], stepSize=(0.05, 0.3)"
        return "trials=4, regParam=(0.0, 0.1), elasticNetParam=[0.0, 0.5]"

    @property
    def estimator(self) -> str:
        return {"binary": "GBTClassifier", "multiclass": "LogisticRegression", "regression": "GBTRegressor"}[
            self.task
        ]

    @property
    def estimator_module(self) -> str:
        return "regression" if self.task == "regression" else "classification"

    @property
    def estimator_says(self) -> str:
        if self.trees:
            return "Boosted trees over indexed categories and numbers with their gaps filled"
        return "Logistic regression over one-hot categories and numbers with their gaps filled"

    @property
    def estimator_arguments(self) -> dict[str, str]:
        if not self.trees:
            return {"regParam": 'params["regParam"]', "elasticNetParam": 'params["elasticNetParam"]'}
        room = {"maxBins": str(max(32, self.max_categories + 2))} if self.categories else {}
        return {
            **room,
            "maxIter": "30",
            "maxDepth": 'params["maxDepth"]',
            "stepSize": 'params["stepSize"]',
        }

    @property
    def feature_stages(self) -> list[str]:
        stages = {
            "StringIndexer": bool(self.categories), "OneHotEncoder": self.one_hot, "Imputer": bool(self.numbers),
            "VectorAssembler": True,
        }  # fmt: skip
        return sorted(name for name, used in stages.items() if used)

    @property
    def assembled(self) -> str:
        categories = "hot" if self.one_hot else "indexed"
        parts = ([categories] if self.categories else []) + (["filled"] if self.numbers else [])
        return " + ".join(parts)

    @property
    def label_expression(self) -> str:
        """The label as its task wants it: a class as it stands, less fractions that a class cannot have."""
        if self.task == "regression":
            return f'F.col({literal(self.label)}).cast("double").alias({literal(self.label)})'
        if self.label_type == "double":
            return f'F.col({literal(self.label)}).cast("int").alias({literal(self.label)})'
        return literal(self.label)


def literal(value: Any) -> str:
    """A value as Python code, with the quotes that formatters like."""
    if isinstance(value, str):
        text = repr(value)
        return text if '"' in value else f'"{text[1:-1]}"'.replace("\\'", "'")
    if isinstance(value, list):
        return f"[{', '.join(literal(each) for each in value)}]"
    return repr(value)
