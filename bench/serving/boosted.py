"""A function package like those the pipelines make, built by hand: boosted trees over numbers and categories."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from onnx import TensorProto, helper

TREES = 20
DEPTH = 5
CATEGORIES = {f"text{column}": [f"category {index}" for index in range(16)] for column in range(2)}
NUMBERS = [f"number{column}" for column in range(8)]
COLUMNS = [*CATEGORIES, *NUMBERS]


@dataclass(frozen=True)
class Split:
    """An inner node: left where the column's value is at most `threshold`."""

    column: int
    threshold: float
    left: Split | float
    right: Split | float


def records(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """`count` random records that the model takes."""
    random = Random(seed)
    return [
        {name: random.choice(values) for name, values in CATEGORIES.items()}
        | {name: random.gauss(0, 1) for name in NUMBERS}
        for _ in range(count)
    ]


def write(folder: Path) -> Path:
    """Write the package into `folder`; its samples are answered by walking the trees in Python."""
    random = Random(1)
    trees = [_grow(random, DEPTH) for _ in range(TREES)]
    samples = records(20, seed=2)
    answers = [_answer(trees, record) for record in samples]
    content = {
        "model.onnx": _graph(trees),
        "samples.json": json.dumps({"records": samples, "answers": answers}).encode(),
    }
    manifest = {
        "format": 1,
        "name": "boosted",
        "version": "1",
        "key": "bench",
        "task": "binary",
        "runtime": "onnx",
        "inputs": [{"name": name, "type": "string" if name in CATEGORIES else "double"} for name in COLUMNS],
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


def _grow(random: Random, depth: int) -> Split | float:
    if depth == 0:
        return random.gauss(0, 0.3)
    column = random.randrange(len(COLUMNS))
    threshold = random.uniform(2, 14) if COLUMNS[column] in CATEGORIES else random.gauss(0, 1)
    return Split(column, threshold, _grow(random, depth - 1), _grow(random, depth - 1))


def _answer(trees: list[Split | float], record: dict[str, Any]) -> dict[str, Any]:
    row = [CATEGORIES[name].index(record[name]) if name in CATEGORIES else record[name] for name in COLUMNS]
    total = 0.0
    for tree in trees:
        while isinstance(tree, Split):
            tree = tree.left if row[tree.column] <= tree.threshold else tree.right
        total += tree
    one = 1 / (1 + math.exp(-total))
    return {"prediction": int(total > 0), "probability": {"0": 1 - one, "1": one}}


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


def _graph(trees: list[Split | float]) -> bytes:
    flat = _Flat(trees)
    left, left_leaf, right, right_leaf = (list(part) for part in zip(*flat.children, strict=True))
    nodes = []
    for name, values in CATEGORIES.items():
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                [name],
                [f"{name}_index"],
                domain="ai.onnx.ml",
                keys_strings=values,
                values_tensor=helper.make_tensor("v", TensorProto.DOUBLE, [len(values)], range(len(values))),
                default_tensor=helper.make_tensor("d", TensorProto.DOUBLE, [1], [-1.0]),
            )
        )
    for name in COLUMNS:
        source = f"{name}_index" if name in CATEGORIES else name
        nodes.append(helper.make_node("Unsqueeze", [source, "one_axis"], [f"{name}_column"]))
    nodes += [
        helper.make_node("Concat", [f"{name}_column" for name in COLUMNS], ["features"], axis=1),
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
            nodes_splits=helper.make_tensor("s", TensorProto.DOUBLE, [len(flat.columns)], flat.thresholds),
            nodes_modes=helper.make_tensor(
                "m", TensorProto.UINT8, [len(flat.columns)], [0] * len(flat.columns)
            ),
            nodes_truenodeids=left,
            nodes_trueleafs=left_leaf,
            nodes_falsenodeids=right,
            nodes_falseleafs=right_leaf,
            leaf_targetids=[0] * len(flat.weights),
            leaf_weights=helper.make_tensor("w", TensorProto.DOUBLE, [len(flat.weights)], flat.weights),
        ),
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
        "boosted",
        [
            helper.make_tensor_value_info(
                name, TensorProto.STRING if name in CATEGORIES else TensorProto.DOUBLE, ["N"]
            )
            for name in COLUMNS
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
