"""What `penstock check` asks of the job side, and what either finds. The core reads no model code or suites itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock.runtimes import Kind


class Finding(BaseModel):
    """Something that is wrong, or may be meant otherwise, in a pipeline's files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: Literal["error", "warning"]
    where: str = Field(description="the file, from the project's root, and the line where there is one")
    message: str
    next_step: str


class Checked(BaseModel):
    """A pipeline whose model code, suites and steps are to be checked (`python -m jobs.check`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    suites: str
    bundle: Kind
    #: The sources, each with the columns that the spec declares; empty where it declares none.
    sources: dict[str, list[str]]
    #: The steps of its function, less the model.
    steps: list[str] = []


class CheckRequest(BaseModel):
    """The pipelines of one check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipelines: list[Checked]


class CheckFindings(BaseModel):
    """What was found, by pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: dict[str, list[Finding]]
