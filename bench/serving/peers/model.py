"""The same model for every peer: ONNX Runtime, with the settings of our own runtime."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime

#: The environment names the model's file by it.
FILE = "BENCH_MODEL"


class Model:
    """Answers records as our function does, without a check."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            os.environ[FILE], options, providers=["CPUExecutionProvider"]
        )
        kinds = {"tensor(string)": np.object_, "tensor(double)": np.float64}
        self._columns = {node.name: kinds[node.type] for node in self._session.get_inputs()}

    def run(self, columns: dict[str, Any]) -> list[Any]:
        """The prediction and the probabilities of N rows, each an array of shape (N,), of columns of N values."""
        feed = {name: np.asarray(columns[name], dtype=kind) for name, kind in self._columns.items()}
        outputs: list[Any] = self._session.run(None, feed)
        return outputs

    def answer(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answer to each record."""
        columns = {name: [record[name] for record in records] for name in self._columns}
        return [
            {"prediction": int(prediction), "probability": {"0": zero, "1": one}}
            for prediction, zero, one in zip(*(output.tolist() for output in self.run(columns)), strict=True)
        ]
