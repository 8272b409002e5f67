"""Scores a pandas DataFrame with the ONNX graph beside this model; travels inside the MLflow model.

It stands alone, as who loads the model has nothing but MLflow, pandas, numpy and onnxruntime. What it adds to
MLflow's own ONNX flavor: a number may come in any numeric type (MLflow refuses an int64 column where a double is
declared), null is null (MLflow's flavor hands the text "None" to the graph), and a class is answered by its name.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# What the graph takes for a null string.
NULL = "\u0000"


class TableModel:
    """`predict(DataFrame)` gives a DataFrame: `prediction`, and for a classifier `probability_<class>`.

    A classifier of two classes without probabilities gives `rawPrediction` instead, the score of the second.

    A model that can refuse a value (an unseen category, say) also gives `invalid`: the refused column, or "";
    the other answers of such a row are null.
    """

    def __init__(self, folder: Path) -> None:
        columns = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
        self._inputs: list[dict[str, str]] = columns["inputs"]
        self._classes: list[Any] | None = columns["classes"]
        # Before the import, which reads it: its default is to report usage to its makers.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Score `data`, a DataFrame with a column for each input, rows in any index."""
        table = data if isinstance(data, pd.DataFrame) else pd.DataFrame(data)
        feed = {entry["name"]: _values(table[entry["name"]], entry) for entry in self._inputs}
        found = dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))
        if self._classes is None:
            return pd.DataFrame(found, index=table.index)
        return pd.DataFrame(
            {self._label(name): self._classified(name, values) for name, values in found.items()},
            index=table.index,
        )

    def _label(self, name: str) -> str:
        assert self._classes is not None
        kind, _, index = name.partition("_")
        return f"probability_{self._classes[int(index)]}" if kind == "probability" else name

    def _classified(self, name: str, values: Any) -> Any:
        if name != "prediction":
            return values
        assert self._classes is not None
        refused = np.isnan(values)
        if not refused.any():
            return np.asarray(self._classes)[values.astype(np.int64)]
        return [
            None if none else self._classes[int(value)] for value, none in zip(values, refused, strict=True)
        ]


def _values(column: pd.Series, entry: dict[str, str]) -> Any:
    if entry["type"] == "string":
        # Value by value: numpy's own strings, which a vectorised way goes through, drop a trailing NUL.
        missing = column.isna()
        texts = [NULL if none else str(text) for text, none in zip(column, missing, strict=True)]
        return np.array(texts, dtype=object)
    try:
        values = pd.to_numeric(column, errors="raise").to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise TypeError(f"column {entry['name']!r} must hold numbers or nulls: {error}") from error
    # A Spark float column never held 0.1 but the single nearest to it, and the model's splits are made of those.
    return values.astype(np.float32).astype(np.float64) if entry["type"] == "float" else values


def _load_pyfunc(path: str) -> TableModel:
    """MLflow's entry point; `path` is that of model.onnx."""
    return TableModel(Path(path).parent)
