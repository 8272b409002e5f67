"""The chain's stages: their order, and the code that each one's key rests on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penstock import keys


@dataclass(frozen=True)
class Stage:
    """A stage's name, the folders and files (below the project's root) whose code makes its output, and its kind.

    What the jobs only pass through (settings, the store, results, errors) is not among them.

    `per_interval`: one task a data interval of the window. `user_code`: runs the pipeline's `model.py`.
    """

    name: str
    code: tuple[str, ...]
    per_interval: bool = False
    user_code: bool = False


#: The build record's name in a pipeline's folder (penstock.code).
RECORD = "image.json"
_COMMON = "jobs/common"
_BUNDLE = "jobs/bundle"
_READING = ("penstock/queries.py", "penstock/source_files.py", "penstock/templates.py")
_RUNTIMES = ("images/function/penstock_function", "images/function-mleap")

CHAIN: tuple[Stage, ...] = (
    Stage("collect", ("jobs/collect", _COMMON, *_READING), per_interval=True),
    Stage("validate", ("jobs/validate", _COMMON), per_interval=True),
    Stage("features", ("jobs/features", _COMMON), user_code=True),
    Stage("train", ("jobs/train", _COMMON, _BUNDLE, "penstock/spec/search.py"), user_code=True),
    Stage(
        "register",
        (
            "jobs/register",
            _COMMON,
            _BUNDLE,
            *_RUNTIMES,
            "penstock/host/manifest.py",
            "penstock/signatures.py",
        ),
    ),
    Stage(
        "validate_model",
        (
            "jobs/validate_model",
            "jobs/fit/measure.py",
            "penstock/fit/figures.py",
            _COMMON,
            *_RUNTIMES,
            "penstock/spec/gates.py",
        ),
    ),
    Stage("deploy", ("jobs/deploy", _COMMON)),
)
STAGES: dict[str, Stage] = {stage.name: stage for stage in CHAIN}


def code_digest(root: Path, stage: str) -> str:
    """The digest of a stage's code: its own folder and what it shares."""
    code = [root / path for path in STAGES[stage].code]
    files = [file for path in code for file in ([path] if path.is_file() else keys.source_files(path))]
    return keys.digest_files(root, files)


def folder_digest(dags: Path, pipeline: str) -> str:
    """The digest of a pipeline's folder, for the stages that run user code.

    `pipeline.py` is left out: what a stage reads of the spec is hashed on its own, so that a new owner or
    schedule does not train anew. The build record says which image these files are in.
    """
    folder = dags / pipeline
    left_out = (folder / "pipeline.py", folder / RECORD)
    return keys.digest_files(folder, [path for path in keys.source_files(folder) if path not in left_out])
