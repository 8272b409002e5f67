"""What scores a function package in a job: the very runtime that serves it, whatever its kind."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from jobs.common.serving import serving
from penstock_function.package import Package, PackageError

if TYPE_CHECKING:
    import httpx

#: Records of a request in bulk: far below a runtime's limit on bodies, whatever the columns.
_CHUNK = 1000


class Scorer(Protocol):
    """What can be asked of a runtime; penstock_function.scorer.Scorer says it in full."""

    package: Package

    def score(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answer to each record."""
        ...

    def score_columns(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """`prediction` and what else there is of the scores, float64 [N] each; NaN for a row that is refused."""
        ...

    def prove(self) -> None:
        """Raise PackageError where the package's samples are answered otherwise than by Spark."""
        ...


@contextmanager
def scorer(folder: Path) -> Iterator[Scorer]:
    """The package in `folder`, ready to score; a runtime in Java is a process that ends with the block.

    Raises:
        PackageError: it is none, or a runtime in Java did not get Spark's answers to its samples.
        PenstockError: the runtime is not there.
    """
    package = Package.load(folder)
    if package.runtime == "onnx":
        from penstock_function.scorer import Scorer as InProcess

        yield InProcess(package)
        return
    import httpx

    with (
        serving(package.runtime, folder) as runtime,
        httpx.Client(base_url=runtime.address, trust_env=False, timeout=60) as client,
    ):
        yield Served(package, client)


class Served:
    """A package that a runtime in another process serves, having proved it."""

    def __init__(self, package: Package, client: httpx.Client) -> None:
        self.package = package
        self._client = client

    def prove(self) -> None:
        """Nothing is left to do: its runtime serves nothing else."""

    def score(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answer to each record. Raises PackageError where one is refused."""
        answers, refused = self._answers(list(records))
        if refused:
            raise PackageError(f"{self.package.name} refuses a record that it should answer: {refused}")
        return [answer for answer in answers if answer is not None]

    def score_columns(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """As Scorer has it. What no request can hold, such as infinity, is refused as the function would."""
        fields = self.package.inputs
        values = [[_json_value(field.type, value) for value in columns[field.name]] for field in fields]
        names = [field.name for field in fields]
        records: list[Mapping[str, Any]] = [
            dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)
        ]
        answers: list[dict[str, Any] | None] = []
        for start in range(0, len(records), _CHUNK):
            answers += self._answers(records[start : start + _CHUNK])[0]
        index = {value: float(position) for position, value in enumerate(self.package.classes)}
        outputs = {
            "prediction": [
                math.nan if answer is None else _number(index.get(answer["prediction"], answer["prediction"]))
                for answer in answers
            ]
        }
        if self.package.output == "probability" and index:
            for position, value in enumerate(self.package.classes):
                outputs[f"probability_{position}"] = [
                    math.nan if answer is None else _number(answer["probability"][str(value)])
                    for answer in answers
                ]
        return {name: np.array(found, dtype=np.float64) for name, found in outputs.items()}

    def _answers(
        self, records: list[Mapping[str, Any]]
    ) -> tuple[list[dict[str, Any] | None], list[dict[str, Any]]]:
        """The answer to each record, None where it is refused, and the faults of those that are."""
        answers: list[dict[str, Any] | None] = [None] * len(records)
        left, faults = list(range(len(records))), []
        while left:
            body = json.dumps({"records": [records[row] for row in left]})
            response = self._client.post("/predict", content=body)
            if response.status_code == 422:
                found = response.json()["faults"]
                faults += found
                refused = {fault["row"] for fault in found}
                left = [row for place, row in enumerate(left) if place not in refused]
                continue
            response.raise_for_status()
            for row, answer in zip(left, response.json()["predictions"], strict=True):
                answers[row] = answer
            break
        return answers, faults


def _json_value(kind: str, value: Any) -> Any:
    if value is None or value != value:
        return None
    if kind in ("string", "boolean"):
        return value if kind == "string" else bool(value)
    # Text is no number, and so refused.
    return float(value) if math.isfinite(value) else str(value)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
