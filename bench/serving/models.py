"""Function packages like those that pipelines make, built by hand: boosted trees over numbers and categories, a line over numbers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper

from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Bundle, Model
from penstock.runtimes import Kind

TREES = 20
DEPTH = 5
CATEGORIES = {f"text{column}": [f"category {index}" for index in range(16)] for column in range(2)}
NUMBERS = [f"number{column}" for column in range(8)]
COLUMNS = [*CATEGORIES, *NUMBERS]
#: The columns of a model, the same model for each runtime, and what answers a record as it does.
Made = tuple[Sequence[str], Mapping[Kind, bytes], Callable[[Mapping[str, Any]], dict[str, Any]]]
_FILES: Mapping[Kind, str] = {"onnx": "model.onnx", "mleap": "model.zip"}


@dataclass(frozen=True)
class Split:
    """An inner node: left where the column's value is at most `threshold`."""

    column: int
    threshold: float
    left: Split | float
    right: Split | float


def write(kind: str, folder: Path, runtime: Kind = "onnx") -> Path:
    """Write the package of the kind `linear` or `boosted` into `folder`; its samples are answered in plain Python."""
    columns, models, answer = KINDS[kind]()
    samples = _records(columns, 20)
    content = {
        _FILES[runtime]: models[runtime],
        "samples.json": json.dumps(
            {"records": samples, "answers": [answer(each) for each in samples]}
        ).encode(),
    }
    manifest = {
        "format": 1,
        "name": kind,
        "version": "1",
        "key": "bench",
        "task": "binary",
        "runtime": runtime,
        "inputs": [{"name": name, "type": "string" if name in CATEGORIES else "double"} for name in columns],
        "classes": [0, 1],
        "output": "probability",
        "tolerance": 1e-9,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in content.items()},
        "environment": {},
    }
    folder.mkdir(parents=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    (folder / "function.json").write_text(json.dumps(manifest))
    return folder


def _records(columns: Sequence[str], count: int) -> list[dict[str, Any]]:
    random = Random(2)
    return [
        {
            name: random.choice(CATEGORIES[name]) if name in CATEGORIES else random.gauss(0, 1)
            for name in columns
        }
        for _ in range(count)
    ]


def _boosted() -> Made:
    random = Random(1)
    trees = [_grow(random, DEPTH) for _ in range(TREES)]
    graph, bundle = _graph(COLUMNS, _sum_of_trees(trees)), _bundle(COLUMNS, _classifier(trees))
    return COLUMNS, {"onnx": graph, "mleap": bundle}, lambda record: _answer(_walk(trees, record))


def _linear() -> Made:
    random = Random(1)
    weights = {name: random.gauss(0, 1) for name in NUMBERS}
    line = {
        "num_classes": values.long(2),
        "coefficients": values.vector(np.array(list(weights.values()))),
        "intercept": values.double(0),
        "threshold": values.double(0.5),
    }
    graph = _graph(NUMBERS, _product(list(weights.values())))
    return (
        NUMBERS,
        {"onnx": graph, "mleap": _bundle(NUMBERS, Model("logistic_regression", line))},
        lambda record: _answer(sum(weight * record[name] for name, weight in weights.items())),
    )


def _grow(random: Random, depth: int) -> Split | float:
    if depth == 0:
        return random.gauss(0, 0.3)
    column = random.randrange(len(COLUMNS))
    threshold = random.uniform(2, 14) if COLUMNS[column] in CATEGORIES else random.gauss(0, 1)
    return Split(column, threshold, _grow(random, depth - 1), _grow(random, depth - 1))


def _answer(total: float) -> dict[str, Any]:
    one = 1 / (1 + math.exp(-total))
    return {"prediction": int(total > 0), "probability": {"0": 1 - one, "1": one}}


def _walk(trees: list[Split | float], record: Mapping[str, Any]) -> float:
    row = [CATEGORIES[name].index(record[name]) if name in CATEGORIES else record[name] for name in COLUMNS]
    total = 0.0
    for tree in trees:
        while isinstance(tree, Split):
            tree = tree.left if row[tree.column] <= tree.threshold else tree.right
        total += tree
    return total


def _bundle(columns: Sequence[str], model: Model) -> bytes:
    """A Bundle.ML of a classifier over these columns, of which texts are indexed."""
    bundle, given = Bundle(), []
    for name in columns:
        read = name
        if name in CATEGORIES:
            labels = {"labels_length": values.integer(1), "labels_array_0": values.strings(CATEGORIES[name])}
            indexer = Model("string_indexer", {**labels, "handle_invalid": values.string("error")})
            read = bundle.add(indexer, {"input": name}, {"output": f"{name}_index"})["output"]
        given.append(read)
    shapes = values.shapes([values.scalar_shape(nullable=False)] * len(given))
    assembler = Model("vector_assembler", {"input_shapes": shapes, "handle_invalid": values.string("error")})
    inputs = {f"input{place}": read for place, read in enumerate(given)}
    features = bundle.add(assembler, inputs, {"output": "features"})["output"]
    ports = ("raw_prediction", "probability", "prediction")
    made = bundle.add(model, {"features": features}, {port: port for port in ports})
    return bundle.to_zip({port: made[port] for port in ports[1:]})


def _classifier(trees: list[Split | float]) -> Model:
    size = {"num_features": values.long(len(COLUMNS))}
    models = {}
    for place, tree in enumerate(trees):
        file = "".join(f"{json.dumps(line)}\n" for line in _lines(tree)).encode()
        models[f"tree{place}"] = Model("decision_tree_regression", size, {"tree.json": file})
    attributes = {
        "num_classes": values.long(2),
        # Their weighted sum is half of the log-odds.
        "tree_weights": values.doubles([0.5] * len(trees)),
        "trees": values.strings(list(models)),
    }
    return Model("gbt_classifier", {**size, **attributes}, models=models)


def _lines(tree: Split | float) -> Iterator[dict[str, Any]]:
    """A node a line, the left side before the right."""
    if not isinstance(tree, Split):
        yield {"type": "leaf", "values": [tree]}
        return
    split = {"type": "continuous", "featureIndex": tree.column, "threshold": tree.threshold}
    yield {"type": "internal", "split": split}
    yield from _lines(tree.left)
    yield from _lines(tree.right)


class _Flat:
    """The trees as the parallel lists of an ONNX TreeEnsemble (ai.onnx.ml, opset 5)."""

    def __init__(self, trees: list[Split | float]) -> None:
        self.columns: list[int] = []
        self.thresholds: list[float] = []
        self.children: list[list[int]] = []
        self.weights: list[float] = []
        self.roots = [self._add(tree)[0] for tree in trees]

    def _add(self, tree: Split | float) -> tuple[int, int]:
        """The node's index and whether it is a leaf."""
        if not isinstance(tree, Split):
            self.weights.append(tree)
            return len(self.weights) - 1, 1
        index = len(self.columns)
        self.columns.append(tree.column)
        self.thresholds.append(tree.threshold)
        self.children.append([])
        self.children[index] = [*self._add(tree.left), *self._add(tree.right)]
        return index, 0


def _sum_of_trees(trees: list[Split | float]) -> list[Any]:
    flat = _Flat(trees)
    left, left_leaf, right, right_leaf = (list(part) for part in zip(*flat.children, strict=True))
    return [
        helper.make_node(
            "TreeEnsemble",
            ["features"],
            ["sums"],
            domain="ai.onnx.ml",
            n_targets=1,
            aggregate_function=1,
            post_transform=0,
            tree_roots=flat.roots,
            nodes_featureids=flat.columns,
            nodes_splits=_doubles(flat.thresholds),
            nodes_modes=helper.make_tensor(
                "modes", TensorProto.UINT8, [len(flat.columns)], [0] * len(flat.columns)
            ),
            nodes_truenodeids=left,
            nodes_trueleafs=left_leaf,
            nodes_falsenodeids=right,
            nodes_falseleafs=right_leaf,
            leaf_targetids=[0] * len(flat.weights),
            leaf_weights=_doubles(flat.weights),
        )
    ]


def _product(weights: list[float]) -> list[Any]:
    column = helper.make_tensor("weights", TensorProto.DOUBLE, [len(weights), 1], weights)
    return [
        helper.make_node("Constant", [], ["weights"], value=column),
        helper.make_node("MatMul", ["features", "weights"], ["sums"]),
    ]


def _graph(columns: Sequence[str], summing: list[Any]) -> bytes:
    """The graph whose nodes `summing` make `sums`, of shape (N, 1), of `features`, of shape (N, columns)."""
    nodes = []
    for name in columns:
        source = name
        if name in CATEGORIES:
            source = f"{name}_index"
            values = CATEGORIES[name]
            nodes.append(
                helper.make_node(
                    "LabelEncoder",
                    [name],
                    [source],
                    domain="ai.onnx.ml",
                    keys_strings=values,
                    values_tensor=_doubles([float(index) for index in range(len(values))]),
                    default_tensor=_doubles([-1.0]),
                )
            )
        nodes.append(helper.make_node("Unsqueeze", [source, "one_axis"], [f"{name}_column"]))
    nodes += [
        helper.make_node("Concat", [f"{name}_column" for name in columns], ["features"], axis=1),
        *summing,
        helper.make_node("Squeeze", ["sums", "one_axis"], ["sum"]),
        helper.make_node("Neg", ["sum"], ["negative"]),
        helper.make_node("Exp", ["negative"], ["exp"]),
        helper.make_node("Add", ["exp", "one"], ["denominator"]),
        helper.make_node("Div", ["one", "denominator"], ["probability_1"]),
        helper.make_node("Sub", ["one", "probability_1"], ["probability_0"]),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["prediction"], to=TensorProto.DOUBLE),
    ]
    graph = helper.make_graph(
        nodes,
        "bench",
        [
            helper.make_tensor_value_info(
                name, TensorProto.STRING if name in CATEGORIES else TensorProto.DOUBLE, ["N"]
            )
            for name in columns
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N"])
            for name in ("prediction", "probability_0", "probability_1")
        ],
        [
            helper.make_tensor("one_axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("one", TensorProto.DOUBLE, [], [1.0]),
            helper.make_tensor("zero", TensorProto.DOUBLE, [], [0.0]),
        ],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return model


def _doubles(values: list[float]) -> Any:
    return helper.make_tensor("values", TensorProto.DOUBLE, [len(values)], values)


KINDS: Final[Mapping[str, Callable[[], Made]]] = {"boosted": _boosted, "linear": _linear}
