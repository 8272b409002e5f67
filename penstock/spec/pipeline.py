"""A pipeline's declaration: one value that reads like the problem and is checked whole."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from penstock.errors import SpecError
from penstock.redaction import redact
from penstock.spec import schedule as schedules
from penstock.spec.durations import Duration
from penstock.spec.function import Function
from penstock.spec.gates import Gates
from penstock.spec.metrics import METRICS, Direction, Task
from penstock.spec.search import SearchSpace
from penstock.spec.sources import NAME, Source

#: How many intervals are looked at for one that is longer than the window: months of 31 days, weekends, nights.
_LOOKED_AT = 10
#: Such a window holds any interval of a schedule that leaves no month out: no two 31sts in turn are further apart.
_HOLDS_ANY = timedelta(days=62)
_INSTANTS = "a date such as 2013-01-01, or a time such as 2013-01-01T06:00 (UTC, where it names no zone)"
StageName = Literal["collect", "validate", "features", "train", "register", "validate_model", "deploy"]


Memory = Annotated[str, Field(pattern=r"^[1-9]\d*(Mi|Gi)$")]


class Executors(BaseModel):
    """Spark executors of a stage that runs as a pod: at most `count` pods, each with its CPU and memory.

    Work on fewer rows than `above_rows` stays in the stage's own pod, where it is done sooner.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Annotated[int, Field(ge=1)]
    cpu: Annotated[float, Field(gt=0)] = 1
    # Less than a GB holds no JVM beside its Python workers.
    memory: Annotated[str, Field(pattern=r"^([1-9]\d*Gi|[1-9]\d{3,}Mi)$")] = "2Gi"
    above_rows: Annotated[int, Field(ge=0)] = 5_000_000


class Toleration(BaseModel):
    """A taint that a stage's pod may live with, in Kubernetes' own words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Resources(BaseModel):
    """What one stage may use: CPU cores, memory (Kubernetes notation, `2Gi`), GPUs; and as a pod, where it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: Annotated[float, Field(gt=0)] | None = None
    memory: Memory | None = None
    gpu: Annotated[int, Field(ge=0)] = 0
    executors: Executors | None = None
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    service_account: str | None = None
    priority_class: str | None = None


class Pipeline(BaseModel):
    """From a problem in words to a function; `to_dag(pipeline)` gives its Airflow DAG.

    Raises SpecError listing every fault at once: the field, what was given, what is allowed.
    """

    # Defaults are checked like what was given: they must go together with it.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

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
    sensitive: list[str] = []
    function: Function = Function()
    resources: dict[StageName, Resources] = {}
    runner: Literal["process", "kubernetes"] | None = None
    retries: Annotated[int, Field(ge=0, le=10)] = 3
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

    @field_validator("resources")
    @classmethod
    def _spark_stages(cls, resources: dict[StageName, Resources]) -> dict[StageName, Resources]:
        spread = {name for name, given in resources.items() if given.executors is not None}
        if others := sorted(spread - {"features", "train"}):
            raise ValueError(
                f"executors are for features and train, which run Spark; given for {', '.join(others)}"
            )
        return resources

    @field_validator("time", "id")
    @classmethod
    def _own_column(cls, name: str, info: ValidationInfo) -> str:
        others = [
            role for role in ("label", "time") if role != info.field_name and info.data.get(role) == name
        ]
        if others:
            raise ValueError(f"is the {others[0]}'s column too; label, time and id are three columns")
        return name

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str | None) -> str | None:
        if schedule is not None and not schedules.is_schedule(schedule):
            presets = ", ".join(schedules.PRESETS)
            raise ValueError(f"is no cron expression; allowed: five cron fields, {presets}, or None")
        return schedule

    @field_validator("start", "end", mode="before")
    @classmethod
    def _instant(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.field_name == "end":
            return None
        try:
            if isinstance(value, str):
                value = datetime.fromisoformat(value)
            elif isinstance(value, date) and not isinstance(value, datetime):
                value = datetime(value.year, value.month, value.day)
            if isinstance(value, datetime):
                return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise ValueError(f"is no date; allowed: {_INSTANTS}")

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        start, cron = info.data.get("start"), _cron_of(info)
        if end is None or start is None:
            return end
        if end <= start:
            raise ValueError(f"must be after start ({start:%Y-%m-%d})")
        if cron is not None:
            first, over = next(schedules.whole(cron, start))
            if end < over:
                raise ValueError(
                    f"is before the end of the first whole interval ({_span(first, over)}); allowed: that end or later"
                )
        return end

    @field_validator("window")
    @classmethod
    def _whole_intervals(cls, window: Duration, info: ValidationInfo) -> Duration:
        start, end, cron = info.data.get("start"), info.data.get("end"), _cron_of(info)
        if start is None or cron is None:
            return window
        if cron.split()[3] == "*" and "#" not in cron and window.after(start) - start >= _HOLDS_ANY:
            return window
        for first, over in islice(schedules.whole(cron, start), _LOOKED_AT):
            if end is not None and over > end:
                break
            if window.before(over) > first:
                raise ValueError(
                    f"is shorter than an interval of the schedule ({_span(first, over)}); allowed: that long or longer"
                )
        return window

    @field_validator("holdout")
    @classmethod
    def _leaves_data(cls, holdout: Duration, info: ValidationInfo) -> Duration:
        start, window, end = (info.data.get(name) for name in ("start", "window", "end"))
        if start is None or window is None or "schedule" not in info.data:
            return holdout
        # Without a schedule a run trains on all there is, from start to end (today, where there is none).
        by_hand = info.data["schedule"] is None
        over, said = (
            (end, "the data from start to end")
            if by_hand
            else (window.after(start), f"the window ({window})")
        )
        # The newest slice before the holdout, as long again, judges the search: both must leave data to train on.
        if over is not None and holdout.after(holdout.after(start)) >= over:
            raise ValueError(f"is too long: twice the holdout must be shorter than {said}")
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

    @field_validator("slices")
    @classmethod
    def _groups(cls, slices: list[str], info: ValidationInfo) -> list[str]:
        faults = [
            f"{name} is the {role}; allowed: other columns of features()"
            for role in ("label", "time", "id")
            if (name := info.data.get(role)) in slices
        ]
        faults += [f"{name} is given twice" for name in sorted(set(slices)) if slices.count(name) > 1]
        if faults:
            raise ValueError("; ".join(faults))
        return slices

    @field_validator("function")
    @classmethod
    def _answers(cls, function: Function, info: ValidationInfo) -> Function:
        if function.output == "probability" and info.data.get("task") == "regression":
            raise ValueError(
                "output 'probability' is for classes; allowed for task 'regression': 'prediction'"
            )
        if function.bundle == "mleap" and (beyond := _beyond_mleap(function, info.data.get("task"))):
            raise ValueError(
                f"bundle 'mleap' does not go with {', '.join(beyond)}; allowed: 'onnx', or without"
            )
        return function

    @property
    def cron(self) -> str | None:
        """The schedule as a five-field cron expression."""
        return None if self.schedule is None else schedules.expression(self.schedule)

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


def _beyond_mleap(function: Function, task: Task | None) -> list[str]:
    """What a function is asked that the runtime in Java has not."""
    asked = {
        "log": function.log > 0,
        "steps": bool(function.own_steps),
        f"target {function.target!r}": function.target not in ("embedded", "kubernetes"),
        # It is judged by the probabilities that it answers.
        "output 'prediction' of classes": function.output == "prediction" and task != "regression",
    }
    return [name for name, is_asked in asked.items() if is_asked]


def _cron_of(info: ValidationInfo) -> str | None:
    """The schedule's cron expression while fields are checked: None where there is none, or a wrong one."""
    schedule = info.data.get("schedule")
    return None if schedule is None else schedules.expression(schedule)


def _span(first: datetime, over: datetime) -> str:
    """An interval in words, with times where it does not go from midnight to midnight."""
    at_midnight = all((bound.hour, bound.minute) == (0, 0) for bound in (first, over))
    pattern = "%Y-%m-%d" if at_midnight else "%Y-%m-%dT%H:%M"
    return f"{first:{pattern}} to {over:{pattern}}"


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
    text = redact(str(value) if isinstance(value, Duration) else repr(value))
    return text if len(text) <= 80 else text[:77] + "..."
