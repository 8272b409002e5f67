"""A pipeline's declaration: one value that reads like the problem and is checked whole."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from croniter import croniter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from penstock.errors import SpecError
from penstock.spec.durations import Duration
from penstock.spec.gates import Gates
from penstock.spec.metrics import METRICS, Direction, Task
from penstock.spec.search import SearchSpace
from penstock.spec.sources import NAME, Source

#: Airflow's presets, as cron expressions.
PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
StageName = Literal["collect", "validate", "features", "train", "register", "validate_model", "deploy"]


class Resources(BaseModel):
    """What one stage may use: CPU cores, memory (Kubernetes notation, `2Gi`), GPUs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: Annotated[float, Field(gt=0)] | None = None
    memory: Annotated[str, Field(pattern=r"^[1-9]\d*(Mi|Gi)$")] | None = None
    gpu: Annotated[int, Field(ge=0)] = 0


class Function(BaseModel):
    """The live function: its name (the pipeline's by default), where it runs, and what it answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME)] | None = None
    target: Literal["embedded"] = "embedded"
    output: Literal["probability", "prediction"] | None = None


class Pipeline(BaseModel):
    """From a problem in words to a function; `to_dag(pipeline)` gives its Airflow DAG.

    Raises SpecError listing every fault at once: the field, what was given, what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME)]
    problem: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    tags: list[str] = []
    task: Task
    label: Annotated[str, Field(min_length=1)]
    time: Annotated[str, Field(min_length=1)]
    id: Annotated[str, Field(min_length=1)]
    sources: Annotated[list[Source], Field(min_length=1)]
    schedule: str | None
    start: datetime
    end: datetime | None = None
    window: Duration = Duration(months=3)
    holdout: Duration = Duration(days=14)
    metric: str
    direction: Direction | None = None
    balance: bool = False
    search: SearchSpace = SearchSpace.model_validate({"trials": 1})
    expectations: Annotated[str, Field(pattern=NAME)] | None = None
    gates: Gates = Gates()
    slices: list[str] = []
    function: Function = Function()
    resources: dict[StageName, Resources] = {}
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    deadline: Duration | None = None

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SpecError(_faults(fields.get("name"), error)) from None

    @field_validator("problem")
    @classmethod
    def _in_words(cls, problem: str) -> str:
        if not problem.strip():
            raise ValueError("say the problem in words; it heads the DAG's page")
        return problem.strip()

    @field_validator("sources")
    @classmethod
    def _distinct(cls, sources: list[Source]) -> list[Source]:
        names = [source.name for source in sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"source names must differ; given twice: {', '.join(twice)}")
        if all(source.snapshot for source in sources):
            raise ValueError("at least one source needs a time column (time=...)")
        return sources

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str | None) -> str | None:
        if schedule is not None and not croniter.is_valid(PRESETS.get(schedule, schedule)):
            raise ValueError(f"is no cron expression; allowed: five cron fields, or {', '.join(PRESETS)}")
        return schedule

    @field_validator("start", "end", mode="before")
    @classmethod
    def _instant(cls, value: object) -> object:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return value

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        start = info.data.get("start")
        if end is not None and start is not None and end <= start:
            raise ValueError(f"must be after start ({start:%Y-%m-%d})")
        return end

    @field_validator("holdout")
    @classmethod
    def _inside_window(cls, holdout: Duration, info: ValidationInfo) -> Duration:
        start, window = info.data.get("start"), info.data.get("window")
        # The newest slice before the holdout, as long again, judges the search: both must leave data to train on.
        if start and window and holdout.after(holdout.after(start)) >= window.after(start):
            raise ValueError(f"twice the holdout must be shorter than the window ({window})")
        return holdout

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, metric: str, info: ValidationInfo) -> str:
        task: Task | None = info.data.get("task")
        if task and metric not in METRICS[task]:
            raise ValueError(f"allowed for task {task!r}: {', '.join(METRICS[task])}")
        return metric

    @field_validator("direction")
    @classmethod
    def _agrees(cls, direction: Direction | None, info: ValidationInfo) -> Direction | None:
        task, metric = info.data.get("task"), info.data.get("metric")
        if direction and task and metric and direction != METRICS[task][metric]:
            raise ValueError(
                f"{metric} is better the other way: allowed {METRICS[task][metric]!r} (or leave it out)"
            )
        return direction

    @field_validator("balance")
    @classmethod
    def _classes_only(cls, balance: bool, info: ValidationInfo) -> bool:
        if balance and info.data.get("task") == "regression":
            raise ValueError("balances classes; allowed for binary and multiclass tasks only")
        return balance

    @field_validator("gates")
    @classmethod
    def _thresholds(cls, gates: Gates, info: ValidationInfo) -> Gates:
        task: Task | None = info.data.get("task")
        unknown = sorted(set(gates.holdout or {}) - set(METRICS[task])) if task else []
        if task and unknown:
            raise ValueError(
                f"holdout names {', '.join(unknown)}; metrics of task {task!r}: {', '.join(METRICS[task])}"
            )
        return gates

    @property
    def cron(self) -> str | None:
        """The schedule as a five-field cron expression."""
        return None if self.schedule is None else PRESETS.get(self.schedule, self.schedule)

    @property
    def better(self) -> Direction:
        """Which way the primary metric is better."""
        return METRICS[self.task][self.metric]

    @property
    def function_name(self) -> str:
        return self.function.name or self.name

    @property
    def function_output(self) -> str:
        default = "prediction" if self.task == "regression" else "probability"
        return self.function.output or default

    @property
    def suites(self) -> str:
        """The folder under expectations/ that holds this pipeline's suites."""
        return self.expectations or self.name


def _faults(name: object, error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False):
        if (
            "literal[False]" in fault["loc"]
        ):  # the other half of "settings or False": the first half says more
            continue
        where = ".".join(str(part) for part in fault["loc"] if _is_field(part)) or "pipeline"
        message = fault["msg"].removeprefix("Value error, ")
        given = "" if fault["type"] == "missing" else f" (given: {_short(fault['input'])})"
        lines.append(f"  - {where}: {message}{given}")
    title = f"pipeline {name!r}" if isinstance(name, str) else "the pipeline"
    plural = "fault" if len(lines) == 1 else "faults"
    return f"{title} has {len(lines)} {plural}:\n" + "\n".join(lines)


def _is_field(part: int | str) -> bool:
    """False for the parts of a location that name pydantic's choice of a type rather than a field."""
    return isinstance(part, int) or not (
        "[" in part or part.endswith("Gate") or part in ("files", "table", "Range")
    )


def _short(value: object) -> str:
    text = str(value) if isinstance(value, Duration) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
