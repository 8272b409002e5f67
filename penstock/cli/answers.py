"""What the commands answer: the values behind their tables, and exactly what `--json` prints."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock.findings import Finding
from penstock.fit.costs import Cost, Crossover
from penstock.fit.figures import Figures
from penstock.intervals import Interval
from penstock.record import Failure, RunState
from penstock.results import GateResult, State
from penstock.rollout.record import RolloutStatus
from penstock.targets import Activity, TriggerStatus

_RUN_STATE = "interrupted: the process of a run in a terminal was killed before it could end the run"


class Part(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(Part):
    """One command's answer."""

    @property
    def exit_status(self) -> int:
        """The exit status of a command that answers so (docs/exit-codes.md)."""
        return 0


class Fault(Part):
    """Why a command gave no answer, or a stage failed."""

    kind: str = Field(description="the kind of failure, one of those in docs/exit-codes.md")
    message: str = Field(description="what was wrong, where, what was found and what was expected")
    next_step: str | None = Field(None, description="what to do about it")


class ErrorAnswer(Answer):
    """What any command prints with --json when it cannot answer."""

    error: Fault
    exit_code: int

    @property
    def exit_status(self) -> int:
        return self.exit_code


class GateAnswer(Part):
    """A gate's verdict."""

    stage: str = Field(description="the stage that asked it")
    name: str
    passed: bool
    off: bool = Field(description="switched off in the spec, or no suite: it passes without looking")
    observed: str
    required: str
    why: str
    next_step: str

    @classmethod
    def of(cls, stage: str, gate: GateResult) -> GateAnswer:
        return cls(stage=stage, **gate.model_dump())


# -- status ---------------------------------------------------------------------------------------------------


class ChampionAnswer(Part):
    """The version that should serve."""

    version: str
    since: datetime | None = Field(
        description="when it last became the champion; null where a person moved the alias"
    )
    window_end: datetime | None = Field(description="the end of the data that it was trained and judged on")


class LastRunAnswer(Part):
    """A pipeline's newest run."""

    run: str
    interval: Interval
    state: RunState = Field(description=_RUN_STATE)
    started: datetime
    version: str | None
    why: str = Field(description="the end of it in words: what failed, what was refused, or what went live")
    gates: list[GateAnswer]


class PipelineAnswer(Part):
    """How a pipeline stands."""

    name: str
    problem: str | None = Field(description="its spec's words; null where the spec cannot be read")
    fault: str | None = Field(description="why its spec cannot be read, where it cannot")
    champion: ChampionAnswer | None
    url: str | None = Field(description="the live function; null where none answers")
    web: str | None = Field(description="where others ask it by its own secret; null where nobody does")
    triggers: list[TriggerStatus] = Field(description="what starts it on events, by the target's names")
    activity: Activity | None = Field(
        description="what it was asked last, where the target keeps records of that"
    )
    serving: str | None = Field(description="the version that the target serves; null where none answers")
    target: str = Field(
        description="'answers'; 'idle': it answers once a process is started for it; or why the target does not"
    )
    rollout: RolloutStatus | None = Field(
        description="the rollout in course, or how the last one ended; null where another version went live since"
    )
    last_run: LastRunAnswer | None


class StatusAnswer(Answer):
    """How the pipelines stand, from the registry, the store and the target."""

    airflow: Literal["running", "stopped"]
    pipelines: list[PipelineAnswer]


# -- explain --------------------------------------------------------------------------------------------------


class Difference(Part):
    """What a key rests on that differs from the run before."""

    what: str = Field(description="code, environment, salt, spec, or the name of an input")
    before: str | None
    now: str | None


class ExplainedItem(Part):
    """Why one key is what it is."""

    subject: str = Field(description="source@interval; empty where the stage has one key a run")
    key: str
    state: State
    made_by: str | None = Field(description="the run that made it; null where the store has it no more")
    compared_with: str | None = Field(description="the run before it that is compared; null for the first")
    differences: list[Difference]


class ExplainedStage(Part):
    """Why a stage ran, was reused, refused, skipped or failed."""

    name: str
    state: State
    why: str
    items: list[ExplainedItem]
    gates: list[GateAnswer]
    failure: Failure | None


class ExplainAnswer(Answer):
    """Why each stage of a run did what it did, and each gate said what it said."""

    run: str
    pipeline: str
    interval: Interval
    state: RunState = Field(description=_RUN_STATE)
    force: str | None = Field(description="the stage that was done anew on request")
    note: str
    stages: list[ExplainedStage]


# -- check ----------------------------------------------------------------------------------------------------


class CheckedPipeline(Part):
    """What was found in one pipeline."""

    name: str
    findings: list[Finding]


class CheckAnswer(Answer):
    """What `check` found, pipeline by pipeline; warnings alone pass."""

    pipelines: list[CheckedPipeline]

    @property
    def passed(self) -> bool:
        return not any(f.severity == "error" for pipeline in self.pipelines for f in pipeline.findings)

    @property
    def exit_status(self) -> int:
        from penstock.errors import SpecError

        return 0 if self.passed else SpecError.exit_code


# -- the rest -------------------------------------------------------------------------------------------------


class UpAnswer(Answer):
    """Where the services answer, and Airflow's login."""

    airflow: str
    mlflow: str
    host: str
    user: str
    password: str


class DownAnswer(Answer):
    """What was stopped."""

    stopped: list[str]


class AirflowAnswer(Answer):
    """How an Airflow command ended; what it prints goes to stderr with --json."""

    arguments: list[str]
    exit_code: int

    @property
    def exit_status(self) -> int:
        return self.exit_code


class LogsAnswer(Answer):
    """The newest lines of a function's log, or of a run's."""

    pipeline: str
    run: str | None = Field(description="the run; null for the function's own log")
    lines: list[str]


class InvokeAnswer(Answer):
    """What the live function answered."""

    function: str
    answer: Any = Field(description="the function's own JSON, as it came")


class PredictAnswer(Answer):
    """A table scored in bulk."""

    pipeline: str
    version: str
    rows: int = Field(description="rows that were scored and written")
    refused: int = Field(description="rows that the model drops (handleInvalid='skip'), which are left out")
    output: str = Field(description="the file that was written")


class FitAnswer(Answer):
    """What a version takes, as measured on this machine, and what its calls cost."""

    pipeline: str
    version: str
    figures: Figures
    calls_a_day: int = Field(description="how many calls `costs` is about")
    prices: str = Field(description="the file of the prices")
    currency: str
    utilisation: float = Field(description="the share of a core that is planned for")
    costs: list[Cost]
    crossovers: list[Crossover]
    page: str | None = Field(description="the HTML file that was written")


class GarbageAnswer(Part):
    """Something that nothing reaches."""

    path: str = Field(description="below the store, or the file's own path for a leftover of a job")
    kind: Literal["key", "attempt", "events", "jobs", "predictions", "temporary"]
    bytes: int


class GcAnswer(Answer):
    """What `gc` found, and removed where it was told to."""

    deleted: bool = Field(description="false for a dry run, which removes nothing")
    garbage: list[GarbageAnswer]
    bytes: int
    kept: int = Field(description="keys that a version, alias or recent run reaches, or that are too young")


class RemoveAnswer(Answer):
    """What was taken away of a pipeline."""

    pipeline: str
    function: str
    versions: int = Field(description="registered versions that were deleted")
    bytes: int = Field(description="size of what was deleted from the store")
    kept: str = Field(description="the folder with the declaration, which stays")


class RolloutAnswer(Answer):
    """A rollout in course, or the last one."""

    pipeline: str
    function: str
    serving: str | None = Field(description="the version behind the live name; null where there is none")
    rollout: RolloutStatus | None = Field(description="null before the first")


class RollbackAnswer(Answer):
    """What serves after going back."""

    pipeline: str
    before: str | None = Field(description="the version that was the champion")
    version: str
    url: str


class ReconciledPipeline(Part):
    """What serves after the target was brought to the registry's alias."""

    name: str
    version: str | None = Field(description="null where the registry names no champion")
    url: str | None


class ReconcileAnswer(Answer):
    """The targets, brought to the registry's aliases."""

    pipelines: list[ReconciledPipeline]


class InitAnswer(Answer):
    """What was made."""

    pipeline: str
    task: str
    files: list[str] = Field(description="from the project's root")


class ImageAnswer(Answer):
    """An image of a pipeline: the one that its DAG pins from now on, one with a notebook on it, or its function's."""

    pipeline: str
    image: str = Field(description="by digest where it was pushed")
    revision: str | None = Field(
        description="the commit that it was built from; null outside of a repository"
    )


class MachineAnswer(Answer):
    """The machine image with the libraries of pipelines and of their functions' steps; as it was, where they need no more."""

    pipelines: list[str]
    image: str = Field(description="by digest where it was pushed")


class RoomAnswer(Answer):
    """The image of a room."""

    room: str
    image: str = Field(description="by digest where it was pushed")
    sbom: str = Field(
        description="the CycloneDX file that names all its libraries; in the image: /opt/penstock/sbom.json"
    )


class KeyAnswer(Answer):
    """A pair of keys; the private one is in its file alone."""

    private_file: str
    public_file: str
    public_key: str = Field(description="32 bytes in base64")


class GatewayKey(Part):
    """A key of a gateway's caller."""

    name: str
    created: str = Field(description="ISO 8601, UTC")
    limit: str | None = Field(
        description="in place of the gateway's own for each caller; null where it has that"
    )


class GatewayKeysAnswer(Answer):
    """The keys that open the gateway."""

    keys: list[GatewayKey]


class NewGatewayKeyAnswer(Answer):
    """A new key; it is shown this once."""

    name: str
    key: str = Field(description="what its caller sends in the header x-api-key")


class RevokedGatewayKeyAnswer(Answer):
    """The key that opens nothing any more."""

    name: str


class GatewayRoutesAnswer(Answer):
    """What the gateway opens now."""

    routes: list[str] = Field(description="paths")


class SchemaAnswer(Answer):
    """A JSON Schema (its keywords are this answer's fields)."""

    model_config = ConfigDict(frozen=True, extra="allow")
