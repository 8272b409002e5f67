"""Scores records with the package's ONNX graph, and proves that the graph gives Spark's own answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from penstock_function.package import Package, PackageError, Samples
from penstock_function.records import MAX_FAULTS, NULL, Columns, Encoder, Fault, InputError, Row, describe

__all__ = ["InputError", "Scorer"]

_INVALID = "invalid"


class Scorer:
    """One package's model, ready to answer; safe to call from several threads.

    Raises:
        PackageError: it is for another runtime, ONNX Runtime refuses the graph, or its inputs or outputs are not those of
            the package.
    """

    def __init__(self, package: Package) -> None:
        if package.runtime != "onnx":
            raise PackageError(
                f"runtime is {package.runtime!r}, expected 'onnx': the package is for another one"
            )
        options = onnxruntime.SessionOptions()
        # A row takes microseconds: handing it to a pool of threads costs more than scoring it, and
        # several functions share a machine.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: the log of this process is JSON lines
        try:
            self._session = onnxruntime.InferenceSession(
                package.model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise PackageError(f"model.onnx cannot be loaded: {error}") from error
        self.package = package
        self.encoder = Encoder(package.inputs)
        self._classes = package.classes
        self._labels = [str(value) for value in package.classes]
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._check_graph()
        self._refuses = _INVALID in self._outputs
        # Only what an answer shows is computed into Python.
        self._shown = ["prediction"]
        self._shows_probability = package.output == "probability" and bool(package.classes)
        if self._shows_probability:
            self._shown += [f"probability_{index}" for index in range(len(package.classes))]
        if self._refuses:
            self._shown.append(_INVALID)

    def score(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answer to each record: {"prediction": class or number[, "probability": {str(class): p}]}.

        Raises:
            InputError: a record does not fit the model's columns, or the model refuses a value.
        """
        if not records:
            return []
        answers = self.answer(self.encoder.encode(records))
        if self._refuses:
            faults = [
                _refusal(row, answer[_INVALID], records[row])
                for row, answer in enumerate(answers)
                if _INVALID in answer
            ]
            if faults:
                raise InputError(faults[:MAX_FAULTS])
        return answers

    def score_json(self, body: bytes | bytearray) -> list[dict[str, Any]] | None:
        """As `score`, straight from the JSON of one record or of an array of them: the usual request, sooner.

        None where anything about it is unusual: parse it and `score` it, which finds out what.
        """
        columns = self.encoder.decode(body)
        if columns is None:
            return None
        answers = self.answer(columns)
        return None if self._refuses and any(_INVALID in answer for answer in answers) else answers

    def read(self, body: bytes | bytearray) -> Row | None:
        """The row in the JSON of one record, for `score_rows`; None as in `score_json`."""
        rows = self.encoder.read(body) if body[:1] == b"{" else None
        return rows[0] if rows else None

    def row(self, record: Mapping[str, Any]) -> Row | None:
        """The row of one record, for `score_rows`; None as in `score_json`."""
        return self.encoder.row(record)

    def score_rows(self, rows: Sequence[Row]) -> list[dict[str, Any] | None]:
        """The answer to each of one or more rows, as `score` gives it; None for one that must be looked at alone."""
        columns = self.encoder.columns(rows)
        if columns is None:
            return [None] * len(rows)
        return [None if _INVALID in answer else answer for answer in self.answer(columns)]

    def score_columns(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The graph's raw outputs for N rows given as columns, for scoring in bulk.

        Args:
            columns: an array of shape (N,) for each input: anything that casts to float64, NaN for null;
                for a string column, str with None, NaN or NULL for null.

        Returns:
            Every output of the graph by name, each of shape (N,): `prediction`, `probability_<index>` (of two
            classes without probabilities, `rawPrediction`) as float64, and `invalid` as str where the model can
            refuse a row.

        Raises:
            InputError: a column is missing, or the columns differ in length.
        """
        feed: Columns = {}
        faults: list[Fault] = []
        for field in self.package.inputs:
            if field.name not in columns:
                faults.append(_column_fault(field.name, "no such column", f"a column of type {field.type}"))
            elif field.type == "string":
                texts = [NULL if value is None or value != value else value for value in columns[field.name]]
                feed[field.name] = np.array(texts, dtype=object)
            else:
                feed[field.name] = np.asarray(columns[field.name], dtype=np.float64)
        length = max((len(column) for column in feed.values()), default=0)
        faults += [
            _column_fault(name, f"{len(column)} values", f"{length}, as in the longest column")
            for name, column in feed.items()
            if len(column) != length
        ]
        if faults:
            raise InputError(faults[:MAX_FAULTS])
        values = self._session.run(self._outputs, feed)
        return dict(zip(self._outputs, values, strict=True))

    def prove(self) -> None:
        """Score the package's samples and compare with Spark's answers, in one batch and one at a time.

        Raises:
            PackageError: naming the first sample and output that differ, with both values.
        """
        samples = self.package.samples
        try:
            batch = self.answer(self.encoder.encode(samples.records))
            # Most requests hold one record, and a graph may take another path for one row than for many.
            singles = [self.answer(self.encoder.encode([record]))[0] for record in samples.records]
        except InputError as error:
            raise PackageError(
                f"samples.json holds records that the model's inputs refuse: {error}"
            ) from error
        except Exception as error:
            raise PackageError(f"model.onnx cannot score its samples: {error}") from error
        self._compare(samples, batch)
        self._compare(samples, singles)

    def answer(self, columns: Columns) -> list[dict[str, Any]]:
        """An answer for each row of `encoder`'s columns; {"invalid": column} for one that the model refuses."""
        values = self._session.run(self._shown, columns)
        predictions: Sequence[Any] = _numbers(values[0])
        classes, labels = self._classes, self._labels
        if classes:
            predictions = [None if index is None else classes[int(index)] for index in predictions]
        answers: list[dict[str, Any]]
        if self._shows_probability:
            rows = zip(*map(_numbers, values[1 : 1 + len(labels)]), strict=True)
            answers = [
                {"prediction": prediction, "probability": dict(zip(labels, row))}  # noqa: B905 - strict takes twice as long
                for prediction, row in zip(predictions, rows, strict=True)
            ]
        else:
            answers = [{"prediction": prediction} for prediction in predictions]
        if self._refuses:
            for row, column in enumerate(values[-1].tolist()):
                if column:
                    answers[row] = {_INVALID: column}
        return answers

    def _check_graph(self) -> None:
        found = [(node.name, node.type, len(node.shape)) for node in self._session.get_inputs()]
        expected = [
            (field.name, "tensor(string)" if field.type == "string" else "tensor(double)", 1)
            for field in self.package.inputs
        ]
        if found != expected:
            raise PackageError(
                f"model.onnx does not read the package's inputs: it reads (name, type, rank) {found},"
                f" function.json says {expected}"
            )
        kinds = {node.name: (node.type, len(node.shape)) for node in self._session.get_outputs()}
        scores = [f"probability_{index}" for index in range(len(self._classes))]
        if self.package.output == "prediction" and not kinds.keys() & scores:
            # A classifier that gives no probabilities; of two classes it has a raw score all the same.
            scores = ["rawPrediction"] if len(self._classes) == 2 else []
        wanted = dict.fromkeys(["prediction", *scores], ("tensor(double)", 1))
        if _INVALID in kinds:
            wanted[_INVALID] = ("tensor(string)", 1)
        if kinds != wanted:
            raise PackageError(
                f"model.onnx does not give what a package must: it gives {kinds}, expected (type, rank) {wanted}"
            )

    def _compare(self, samples: Samples, answers: Sequence[Mapping[str, Any]]) -> None:
        tolerance = self.package.tolerance
        for number, (expected, found) in enumerate(zip(samples.answers, answers, strict=True)):
            ours, sparks = _flat(found), _flat(expected)
            for output in sorted(sparks.keys() | ours.keys()):
                missing = output not in ours or output not in sparks
                if missing or not _same(ours[output], sparks[output], tolerance):
                    raise PackageError(
                        f"sample {number} does not prove the model: {output} is {ours.get(output, 'not given')!r},"
                        f" Spark gave {sparks.get(output, 'none')!r} (tolerance {tolerance:g}, relative to max(1, |x|))"
                    )


def _numbers(values: npt.NDArray[np.float64]) -> Sequence[float | None]:
    """The values as a list, with None for what JSON cannot say (NaN and infinities)."""
    numbers: list[float] = values.tolist()
    if not math.isfinite(sum(numbers)):  # cheaper than numpy for the one value of most requests
        return [value if math.isfinite(value) else None for value in numbers]
    return numbers


def _refusal(row: int, column: str, record: Mapping[str, Any]) -> Fault:
    # A stage may read a column that another stage made, and then the record does not hold it.
    found = describe(record[column]) if column in record else "a value computed from this record"
    return {
        "row": row,
        "field": column,
        "found": f"{found}: null or unseen category",
        "expected": "a value that the model was trained on",
    }


def _column_fault(name: str, found: str, expected: str) -> Fault:
    return {"row": 0, "field": name, "found": found, "expected": expected}


def _flat(answer: Mapping[str, Any]) -> dict[str, Any]:
    flat = dict(answer)
    for label, value in flat.pop("probability", {}).items():
        flat[f"probability of {label}"] = value
    return flat


def _same(ours: Any, sparks: Any, tolerance: float) -> bool:
    if isinstance(ours, float) and type(sparks) in (int, float):
        return bool(abs(ours - sparks) <= tolerance * max(1.0, abs(sparks)))
    return type(ours) is type(sparks) and bool(ours == sparks)
