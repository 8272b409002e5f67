"""What code a run's keys rest on: that of the checkout here, or that of an image, which its build record tells.

On a cluster the code lies in images. `penstock image build` writes a record beside the pipeline's declaration; whoever
plans reads it, the job computes the same from the files of its image, and neither goes on where they differ.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from penstock import keys, steps, suites
from penstock.errors import KeyMismatch, SpecError
from penstock.settings import Settings
from penstock.spec.pipeline import Pipeline
from penstock.stages import RECORD, STAGES, code_digest, folder_digest


class Code(BaseModel):
    """Digests: of the environment, of each stage's code, of the pipeline's folder, of suites by source, steps by name."""

    model_config = ConfigDict(frozen=True)

    environment: str
    stages: dict[str, str]
    folder: str
    suites: dict[str, str]
    steps: dict[str, str] = {}


class BuildRecord(Code):
    """The code of an image. `image` is its reference by digest, `revision` the commit that it was built from."""

    image: str
    revision: str | None


def of_checkout(here: Settings, pipeline: Pipeline) -> Code:
    """The code of the files here. Raises SpecError where a step of the pipeline's function is not there."""
    return Code(
        environment=keys.environment_digest(here.root),
        stages={stage: code_digest(here.root, stage) for stage in STAGES},
        folder=folder_digest(here.dags, pipeline.name),
        suites=_suites(here, pipeline),
        steps={name: steps.digest(here.steps, name) for name in pipeline.function.own_steps},
    )


def of_image(here: Settings, pipeline: Pipeline) -> BuildRecord:
    """The code of the pipeline's image, by its record.

    Raises SpecError where there is no record, KeyMismatch where the pipeline's files here are not those of the image.
    """
    path, build = here.dags / pipeline.name / RECORD, f"penstock image build {pipeline.name}"
    try:
        record = BuildRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SpecError(
            f"pipeline {pipeline.name!r} runs as pods, and has no image: {_below(path, here)} is not there",
            next_step=build,
        ) from None
    except ValidationError as error:
        raise SpecError(
            f"{_below(path, here)} is no build record: {error.errors()[0]['msg']}", next_step=build
        ) from None
    changed = [f"dags/{pipeline.name}"] if folder_digest(here.dags, pipeline.name) != record.folder else []
    found = _suites(here, pipeline)
    changed += [
        f"the suite of {source}"
        for source in sorted(found.keys() | record.suites.keys())
        if found.get(source) != record.suites.get(source)
    ]
    # What is not here cannot differ: an Airflow image has no jobs, and need not have the steps.
    changed += [
        f"the step {name}"
        for name in pipeline.function.own_steps
        if name not in record.steps
        or (here.steps.is_dir() and steps.digest(here.steps, name) != record.steps[name])
    ]
    if (here.root / "jobs").is_dir():
        changed += [
            f"the code of {stage}"
            for stage in STAGES
            if code_digest(here.root, stage) != record.stages[stage]
        ]
    if changed:
        raise KeyMismatch(
            f"{', '.join(changed)} changed since the image of pipeline {pipeline.name!r} was built ({record.image})",
            next_step=build,
        )
    return record


def _suites(here: Settings, pipeline: Pipeline) -> dict[str, str]:
    found = {
        each.name: suites.path(here.expectations, pipeline.suites, each.name) for each in pipeline.sources
    }
    return {name: keys.digest_bytes(path.read_bytes()) for name, path in found.items() if path.is_file()}


def _below(path: Path, here: Settings) -> str:
    return path.relative_to(here.root).as_posix()
