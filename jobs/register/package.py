"""Writes the function package: the folder that is deployed (its format is that of penstock_function.package)."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.common.scorer import scorer
from penstock.errors import UserCodeError
from penstock.runtimes import Kind
from penstock_function.package import FORMAT, MANIFEST, MODELS, SAMPLES, SCORE, Package, PackageError
from penstock_function.steps import Steps


@dataclass(frozen=True)
class Manifest:
    """What `function.json` says, less the digests of the files beside it."""

    name: str
    version: str
    key: str
    runtime: Kind
    task: str
    inputs: Sequence[Mapping[str, str]]
    classes: Sequence[Any] | None
    output: str
    tolerance: float
    environment: Mapping[str, str]
    reference: Mapping[str, Any]
    log: Mapping[str, Any] | None
    steps: Sequence[str] = (SCORE,)


def write(
    folder: Path, manifest: Manifest, model: bytes, samples: Path, steps: Mapping[str, Path] | None = None
) -> str:
    """Write a package into the new folder `folder`; returns the sha256 of its `function.json` (hex).

    `model` are the bytes of what the manifest's runtime scores with, an ONNX graph or a Bundle.ML zip; `samples` is the
    file of requests with Spark's own answers, `steps` the files of the function's steps by their place in the package.
    """
    folder.mkdir(parents=True)
    name = MODELS[manifest.runtime]
    (folder / name).write_bytes(model)
    shutil.copyfile(samples, folder / SAMPLES)
    for place, file in (steps or {}).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / place)
    names = (name, SAMPLES, *(steps or ()))
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    value = {
        "format": FORMAT,
        "name": manifest.name,
        "version": manifest.version,
        "key": manifest.key,
        "task": manifest.task,
        "runtime": manifest.runtime,
        "inputs": [{"name": entry["name"], "type": entry["type"]} for entry in manifest.inputs],
        "classes": None if manifest.classes is None else list(manifest.classes),
        "output": manifest.output,
        "tolerance": manifest.tolerance,
        "files": files,
        "environment": dict(manifest.environment),
        "reference": dict(manifest.reference),
        "log": None if manifest.log is None else dict(manifest.log),
        "steps": list(manifest.steps),
    }
    data = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()
    (folder / MANIFEST).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def fault(folder: Path) -> str | None:
    """What the package in `folder` answers otherwise than Spark did, or None where it proves itself.

    No error: whether a difference matters is for the parity gate to judge.
    """
    try:
        with scorer(folder) as runtime:
            runtime.prove()
    except PackageError as error:
        return str(error)
    return None


def prove_steps(folder: Path) -> None:
    """Run the examples of the steps of the package in `folder`, and see that they fit the model and each other.

    Raises:
        UserCodeError: a step is wrong: with its name, what was found and what is expected.
    """
    try:
        Steps(Package.load(folder))
    except PackageError as error:
        raise UserCodeError(
            f"the steps of the function are refused: {error}",
            next_step="mend the step, or function.steps in the spec (docs/steps.md), then run again",
        ) from error
