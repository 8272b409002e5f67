"""A growing Bundle.ML: a pipeline of nodes, of which only what the answer needs is written, as one zip."""

from __future__ import annotations

import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.bundle.mleap import values
from jobs.bundle.mleap.values import Value

#: Of the format that is written here, which is that of this version of MLeap and later.
_VERSION = "0.20.0"
# The same model gives the same bytes.
_EPOCH, _ZIP_EPOCH = "1970-01-01T00:00:00", (1980, 1, 1, 0, 0, 0)

Sockets = Mapping[str, str]


@dataclass(frozen=True)
class Model:
    """What a node does: the op, its attributes, other files by name, and models within it by name."""

    op: str
    attributes: Mapping[str, Value]
    files: Mapping[str, bytes] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """A model with the columns that it reads and makes, by port; one that `drops` rows is never left out."""

    name: str
    model: Model
    inputs: Sockets
    outputs: Sockets
    drops: bool


class Bundle:
    """The nodes of a pipeline, in order."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []

    def add(self, model: Model, inputs: Sockets, outputs: Sockets, *, drops: bool = False) -> dict[str, str]:
        """Add a node that reads columns of the bundle by port; the columns that it makes, by port.

        `outputs` are the names that Spark gave them: the bundle's are told apart by the node that makes them, as a stage
        may write over a column.
        """
        place = len(self._nodes)
        # No name that a person gives starts so.
        made = {port: f"\u00b7{place}\u00b7{name}" for port, name in outputs.items()}
        self._nodes.append(Node(f"{place}_{model.op}", model, inputs, made, drops))
        return made

    def to_zip(self, outputs: Sockets) -> bytes:
        """The pipeline whose answer is in the columns `outputs` (by port), less the nodes that it does not need."""
        nodes = self._needed(set(outputs.values()))
        root = Model("pipeline", {"nodes": values.strings([node.name for node in nodes])})
        files = _node_files("root/", Node("pipeline", root, {}, outputs, drops=False))
        for node in nodes:
            files |= _node_files(f"root/{node.name}.node/", node)
        digest = hashlib.sha256(b"".join(path.encode() + data for path, data in files.items())).digest()
        about = {
            "uid": str(uuid.UUID(bytes=digest[:16])),
            "name": "pipeline",
            "format": "json",
            "version": _VERSION,
            "timestamp": _EPOCH,
        }
        return _zipped({"bundle.json": _json(about), **files})

    def _needed(self, columns: set[str]) -> Sequence[Node]:
        kept: list[Node] = []
        for node in reversed(self._nodes):
            if node.drops or columns & set(node.outputs.values()):
                kept.append(node)
                columns |= set(node.inputs.values())
        return kept[::-1]


def _node_files(folder: str, node: Node) -> dict[str, bytes]:
    shape = {"inputs": _sockets(node.inputs), "outputs": _sockets(node.outputs)}
    return {
        f"{folder}node.json": _json({"name": node.name, "shape": shape}),
        **_model_files(folder, node.model),
    }


def _model_files(folder: str, model: Model) -> dict[str, bytes]:
    files = {f"{folder}model.json": _json({"op": model.op, "attributes": model.attributes})}
    files |= {f"{folder}{name}": data for name, data in model.files.items()}
    for name, inner in model.models.items():
        files |= _model_files(f"{folder}{name}/", inner)
    return files


def _sockets(sockets: Sockets) -> list[dict[str, str]]:
    return [{"port": port, "name": name} for port, name in sockets.items()]


def _json(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, _ZIP_EPOCH), content, zipfile.ZIP_DEFLATED)
    return data.getvalue()
