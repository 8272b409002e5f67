"""A growing ONNX graph: equal nodes are made once, and only what an output needs is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
_ROWS = "N"
_OPSETS = (("", 21), (ML, 5))
_IR_VERSION = 10  # what ONNX 1.16 and later write; older runtimes read it too


def string_tensor(values: Sequence[str]) -> onnx.TensorProto:
    """A tensor of strings [len(values)]."""
    tensor = onnx.TensorProto(data_type=TensorProto.STRING, dims=[len(values)])
    tensor.string_data.extend(value.encode() for value in values)
    return tensor


class Graph:
    """Tensors are known by their names; every method returns the name of what it made."""

    def __init__(self) -> None:
        self._inputs: list[onnx.ValueInfoProto] = []
        self._nodes: dict[str, onnx.NodeProto] = {}  # by the name of the output
        self._constants: dict[str, onnx.TensorProto] = {}
        self._made: dict[tuple[Any, ...], str] = {}

    def input(self, name: str, element_type: int) -> str:
        """A rank-1 graph input [N]."""
        self._inputs.append(helper.make_tensor_value_info(name, element_type, [_ROWS]))
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The output of a node with one output; an equal node is not made twice."""
        made = [helper.make_attribute(name, value) for name, value in sorted(attributes.items())]
        identity = (kind, domain, inputs, *(attribute.SerializeToString() for attribute in made))
        if identity not in self._made:
            output = self._fresh(kind)
            node = helper.make_node(kind, list(inputs), [output], domain=domain)
            node.attribute.extend(made)
            self._nodes[output] = node
            self._made[identity] = output
        return self._made[identity]

    def constant(self, values: Any, dtype: Any = np.float64) -> str:
        """A constant tensor of numbers or booleans, of the shape of `values`."""
        array = np.asarray(values, dtype=dtype)
        return self._constant((array.shape, array.dtype.str, array.tobytes()), numpy_helper.from_array(array))

    def strings(self, values: Sequence[str]) -> str:
        """A constant tensor of strings [len(values)]."""
        return self._constant(("strings", *values), string_tensor(values))

    def _constant(self, identity: tuple[Any, ...], tensor: onnx.TensorProto) -> str:
        if identity not in self._made:
            tensor.name = self._fresh("Constant")
            self._constants[tensor.name] = tensor
            self._made[identity] = tensor.name
        return self._made[identity]

    def _fresh(self, kind: str) -> str:
        # A column cannot be called like this: no name that a person gives starts so.
        return f"\u00b7{kind}.{len(self._made)}"

    # Shorthands for what nearly every stage says.

    def cast(self, tensor: str, element_type: int) -> str:
        """The tensor as another element type (onnx.TensorProto.*)."""
        return self.op("Cast", tensor, to=element_type)

    def where(self, condition: str, then: str, otherwise: str) -> str:
        """`then` where the condition holds, else `otherwise`."""
        return self.op("Where", condition, then, otherwise)

    def column(self, vector: str) -> str:
        """[N] as [N, 1]."""
        return self.op("Unsqueeze", vector, self.constant([1], np.int64))

    def concat(self, matrices: Sequence[str]) -> str:
        """[N, a], [N, b], ... side by side as [N, a + b + ...]."""
        return matrices[0] if len(matrices) == 1 else self.op("Concat", *matrices, axis=1)

    def pick(self, matrix: str, position: int, axis: int = 1) -> str:
        """One position along an axis, which goes: column `position` of [N, K] as [N]."""
        return self.op("Gather", matrix, self.constant(position, np.int64), axis=axis)

    def nan(self) -> str:
        """The constant NaN, rank 0."""
        return self.constant(np.nan)

    def model(self, outputs: Sequence[tuple[str, str, int]], doc: str) -> onnx.ModelProto:
        """The graph of the given outputs (name, tensor [N], element type), without what none of them needs."""
        ends = [helper.make_node("Identity", [tensor], [name]) for name, tensor, _ in outputs]
        needed = {tensor for _, tensor, _ in outputs}
        kept: list[onnx.NodeProto] = []
        for output, node in reversed(self._nodes.items()):  # made in order, so already sorted topologically
            if output in needed:
                kept.append(node)
                needed.update(node.input)
        graph = helper.make_graph(
            [*reversed(kept), *ends],
            "pipeline",
            self._inputs,
            [helper.make_tensor_value_info(name, element_type, [_ROWS]) for name, _, element_type in outputs],
            [tensor for name, tensor in self._constants.items() if name in needed],
            doc_string=doc,
        )
        return helper.make_model(
            graph,
            producer_name="penstock",
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in _OPSETS],
        )
