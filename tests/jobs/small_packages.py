"""Function packages made by hand: a line or a logistic of columns, worked out on paper."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Bundle, Model


def linear(
    weights: Mapping[str, float],
    *,
    classes: Sequence[Any] | None = None,
    origin: Mapping[str, float] | None = None,
) -> ModelProto:
    """score = the weighted sum of the numbers, a null counting 0, plus the effect of `origin` where given.

    With `classes` (two): a logistic of the score; without: the score itself. An origin without an effect is
    refused.
    """
    nodes, inputs, terms = [], [], []

    def add(kind: str, given: list[str], made: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, given, [made], **attributes))

    if origin is not None:
        inputs.append(helper.make_tensor_value_info("origin", TensorProto.STRING, ["N"]))
        add(
            "LabelEncoder", ["origin"], "effect32", domain="ai.onnx.ml",
            keys_strings=list(origin), values_floats=list(origin.values()), default_float=-99.0,
        )  # fmt: skip
        add("Less", ["effect32", "floor"], "unseen")
        add("Where", ["unseen", "name", "empty"], "invalid")
        add("Cast", ["effect32"], "effect", to=TensorProto.DOUBLE)
        terms.append("effect")
    for name, weight in weights.items():
        inputs.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N"]))
        add("Constant", [], f"{name}_weight", value=helper.make_tensor("", TensorProto.DOUBLE, [], [weight]))
        add("IsNaN", [name], f"{name}_null")
        add("Where", [f"{name}_null", "zero", name], f"{name}_value")
        add("Mul", [f"{name}_value", f"{name}_weight"], f"{name}_term")
        terms.append(f"{name}_term")
    add("Sum", terms, "sum")
    if origin is not None:
        add("Where", ["unseen", "nan", "sum"], "score")
    else:
        add("Identity", ["sum"], "score")
    outputs = ["prediction"]
    if classes is None:
        add("Identity", ["score"], "prediction")
    else:
        outputs += ["probability_0", "probability_1"]
        add("Sigmoid", ["score"], "probability_1")
        add("Sub", ["one", "probability_1"], "probability_0")
        add("Greater", ["score", "zero"], "positive")
        add("Cast", ["positive"], "index", to=TensorProto.DOUBLE)
        if origin is not None:
            add("Where", ["unseen", "nan", "index"], "prediction")
        else:
            add("Identity", ["index"], "prediction")
    made = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N"]) for name in outputs]
    if origin is not None:
        made.append(helper.make_tensor_value_info("invalid", TensorProto.STRING, ["N"]))
    used = {name for node in nodes for name in node.input}
    numbers = {"zero": 0.0, "one": 1.0, "nan": np.nan}
    constants = [
        helper.make_tensor(name, TensorProto.DOUBLE, [], [value])
        for name, value in numbers.items()
        if name in used
    ]
    if origin is not None:
        constants.append(helper.make_tensor("floor", TensorProto.FLOAT, [], [-98.0]))
        constants.append(helper.make_tensor("name", TensorProto.STRING, [], [b"origin"]))
        constants.append(helper.make_tensor("empty", TensorProto.STRING, [], [b""]))
    graph = helper.make_graph(nodes, "linear", inputs, made, constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 4)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def linear_bundle(weights: Mapping[str, float]) -> bytes:
    """score = the weighted sum of the numbers, as a Bundle.ML; null is refused."""
    bundle = Bundle()
    shapes = values.shapes([values.scalar_shape(nullable=False)] * len(weights))
    assembler = Model("vector_assembler", {"input_shapes": shapes, "handle_invalid": values.string("error")})
    inputs = {f"input{place}": name for place, name in enumerate(weights)}
    features = bundle.add(assembler, inputs, {"output": "features"})["output"]
    line = {
        "coefficients": values.vector(np.array(list(weights.values()))),
        "intercept": values.double(0),
    }
    made = bundle.add(Model("linear_regression", line), {"features": features}, {"prediction": "prediction"})
    return bundle.to_zip(made)


def package(
    folder: Path,
    model: ModelProto | bytes,
    inputs: Mapping[str, str],
    samples: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    *,
    classes: Sequence[Any] | None = None,
    name: str = "flights",
    version: str = "1",
) -> Path:
    """A package of a model (an ONNX graph, or the bytes of a Bundle.ML), its inputs (name -> type) and samples (records, answers)."""
    kind, file = ("mleap", "model.zip") if isinstance(model, bytes) else ("onnx", "model.onnx")
    folder.mkdir(parents=True)
    (folder / file).write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    (folder / "samples.json").write_text(json.dumps({"records": samples[0], "answers": samples[1]}))
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (file, "samples.json")
    }
    manifest = {
        "format": 1, "name": name, "version": version, "key": "k", "runtime": kind,
        "task": "regression" if classes is None else "binary",
        "inputs": [{"name": name, "type": kind} for name, kind in inputs.items()],
        "classes": None if classes is None else list(classes),
        "output": "prediction" if classes is None else "probability",
        "tolerance": 1e-9, "files": files, "environment": {"pyspark": "4.1.4"},
    }  # fmt: skip
    (folder / "function.json").write_text(json.dumps(manifest))
    return folder
