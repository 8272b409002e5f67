"""Reads a pipeline that Spark saved: JSON metadata and Parquet data, so no JVM is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.bundle.errors import BundleError

_PIPELINES = {"org.apache.spark.ml.PipelineModel", "pyspark.ml.pipeline.PipelineModel"}


@dataclass(frozen=True)
class Stage:
    """A fitted stage: its Java class, its parameters (set ones over defaults), its extra metadata and its folder."""

    class_name: str
    uid: str
    params: Mapping[str, Any]
    path: Path
    metadata: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The class without its package, as people know it."""
        return self.class_name.rsplit(".", 1)[-1]

    def table(self, part: str = "data") -> pa.Table:
        """A Parquet part of the stage, every file of it. Raises BundleError when it is missing or broken."""
        files = sorted((self.path / part).glob("*.parquet"))
        if not files:
            raise BundleError(
                f"{self.path / part} holds no Parquet file: the saved {self.name} {self.uid} is not whole",
                next_step="save the model again",
            )
        try:
            return pa.concat_tables(pq.read_table(file) for file in files)
        except (pa.ArrowException, OSError) as error:
            raise BundleError(
                f"the data of the saved {self.name} {self.uid} in {self.path / part} cannot be read: {error}",
                next_step="save the model again",
            ) from error

    def row(self) -> dict[str, Any]:
        """The one row of the stage's data. Raises BundleError when there is another number of rows."""
        rows: list[dict[str, Any]] = self.table().to_pylist()
        if len(rows) != 1:
            raise BundleError(
                f"{self.path / 'data'} holds {len(rows)} rows where a saved {self.name} has 1",
                next_step="save the model again",
            )
        return rows[0]

    def models(self) -> list[Stage]:
        """The models within a OneVsRestModel, in the order of the classes; none in any other stage."""
        folders = sorted(
            self.path.glob("model_*"), key=lambda folder: int(folder.name.removeprefix("model_"))
        )
        return [model for folder in folders for model in read(folder)]

    def columns(self, role: str) -> list[str]:
        """The names given by `<role>Cols`, else by `<role>Col` (role: `input` or `output`)."""
        many = self.params.get(f"{role}Cols")
        return list(many) if many is not None else [self.params[f"{role}Col"]]


def read(model_dir: Path) -> list[Stage]:
    """The fitted stages of a saved pipeline in order, nested pipelines flattened.

    A folder that holds a single stage gives that one. Raises BundleError when the folder is no saved model.
    """
    metadata = _metadata(model_dir)
    params = {**metadata.get("defaultParamMap", {}), **metadata.get("paramMap", {})}
    if metadata["class"] not in _PIPELINES:
        return [Stage(metadata["class"], metadata["uid"], MappingProxyType(params), model_dir, metadata)]
    return [
        stage
        for position, uid in enumerate(params["stageUids"])
        for stage in read(_folder(model_dir / "stages", position, uid))
    ]


def vector(saved: Mapping[str, Any]) -> np.ndarray:
    """A saved Spark vector (dense or sparse) as float64 [size]."""
    values = np.asarray(saved["values"], dtype=np.float64)
    if saved["type"] == 1:
        return values
    dense = np.zeros(saved["size"], dtype=np.float64)
    dense[saved["indices"]] = values
    return dense


def matrix(saved: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """A saved Spark matrix as float64 [rows, columns], and which of its entries are stored."""
    rows, columns = saved["numRows"], saved["numCols"]
    values = np.asarray(saved["values"], dtype=np.float64)
    if saved["type"] == 1:
        dense = values.reshape((rows, columns), order="C" if saved["isTransposed"] else "F")
        return dense, np.ones_like(dense, dtype=bool)
    major = np.repeat(np.arange(len(saved["colPtrs"]) - 1), np.diff(saved["colPtrs"]))
    minor = np.asarray(saved["rowIndices"], dtype=np.int64)
    place = (major, minor) if saved["isTransposed"] else (minor, major)
    sparse = np.zeros((rows, columns))
    present = np.zeros((rows, columns), dtype=bool)
    sparse[place] = values
    present[place] = True
    return sparse, present


def number(value: str | float) -> float:
    """A number as Spark's JSON has it: "Inf", "-Inf" and "NaN" are text there."""
    return float(value)


def numbers(values: Sequence[str | float]) -> list[float]:
    """Numbers as Spark's JSON has them."""
    return [number(value) for value in values]


def _metadata(folder: Path) -> dict[str, Any]:
    files = sorted((folder / "metadata").glob("part-*"))
    if not files:
        raise BundleError(
            f"{folder} is no saved Spark model: it has no metadata/part-* file",
            next_step="give the folder that PipelineModel.save() wrote",
        )
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    try:
        metadata: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise BundleError(
            f"the metadata of {folder} is not JSON: {error}", next_step="save the model again"
        ) from error
    return metadata


def _folder(stages: Path, position: int, uid: str) -> Path:
    # Spark pads the position to the width of the number of stages: 03_uid among ten or more.
    for folder in stages.glob(f"*_{uid}"):
        if folder.name[: -len(uid) - 1].isdigit() and int(folder.name[: -len(uid) - 1]) == position:
            return folder
    raise BundleError(f"{stages} has no folder for stage {position}, {uid}", next_step="save the model again")
