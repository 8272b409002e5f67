"""The declaration: what it accepts, and that every fault is named at once."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from penstock import Pipeline, Search, days, files, hours, months, table
from penstock.errors import SpecError


@pytest.fixture
def fields() -> dict[str, Any]:
    return {
        "name": "flight_delays",
        "problem": "Will a departing flight arrive late?",
        "owner": "flight-ops",
        "task": "binary",
        "label": "late",
        "time": "scheduled_departure",
        "id": "flight_id",
        "sources": [
            files("flights", "data/{{ interval }}/*.csv.gz", time="time_hour"),
            table("planes", connection="reference", query="select * from planes"),
        ],
        "schedule": "@monthly",
        "start": "2013-01-01",
        "end": "2014-01-01",
        "metric": "roc_auc",
        "search": Search(trials=3, maxDepth=[4, 6], stepSize=(0.05, 0.3)),
        "slices": ["origin"],
        "gates": {"holdout": {"roc_auc": ">= 0.65"}},
    }


def faults(fields: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(SpecError) as caught:
        Pipeline(**{**fields, **changes})
    return caught.value.message


def test_survives_json(fields: dict[str, Any]) -> None:
    """A spec written as JSON and read again is the same: a job gets what the person declared, ranges included."""
    pipeline = Pipeline(**fields)
    assert Pipeline(**json.loads(pipeline.model_dump_json())) == pipeline


def test_names_every_fault_at_once(fields: dict[str, Any]) -> None:
    """Fifteen wrong fields give one message with each field, what was given and what is allowed."""
    message = faults(
        fields,
        owner="",
        task="binry",
        sources=[files("A flight", "x"), table("planes", connection="sqlite://u:secret@h/x", query="q")],
        schedule="sometimes",
        end="2012-01-01",
        window=months(0),
        slices=["late"],
        search=Search(trials=0, maxDepth=[], stepSize=(3, 1)),
        gates={"holdout": {"roc_auc": "0.7"}, "champion": {"max_loss": -1}},
        colour="red",
    )
    for expected in (
        "owner: ", "task: ", "'binary', 'multiclass' or 'regression' (given: 'binry')", "sources.0.name: ",
        "sources.1.connection: ", "schedule: ", "(given: 'sometimes')", "end: must be after start",
        "window: a duration must be longer", "slices: ", "search.trials: ", "search.maxDepth: choices are",
        "search.stepSize: a range is a pair of numbers (low, high) that rises (given: (3, 1))", "gates.holdout.roc_auc: is no threshold",
        "gates.champion.max_loss: ", "colour: ",
    ):  # fmt: skip
        assert expected in message, f"{expected!r} is missing from:\n{message}"
    assert "literal" not in message
    assert "Gate." not in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"metric": "rmse"}, "allowed for task 'binary': roc_auc"),
        ({"function": {"bundle": "pmml"}}, "function.bundle: Input should be 'onnx' or 'mleap'"),
        (
            {"function": {"bundle": "mleap", "log": 0.1, "steps": ["own", "score"], "target": "openwhisk"}},
            "bundle 'mleap' does not go with log, steps, target 'openwhisk'; allowed: 'onnx', or without",
        ),
        ({"function": {"bundle": "mleap", "output": "prediction"}}, "with output 'prediction' of classes;"),
        ({"direction": "minimize"}, "allowed 'maximize'"),
        ({"gates": {"holdout": {"rmse": "<= 3"}}}, "holdout names rmse"),
        (
            {"holdout": days(60)},
            "holdout: is too long: twice the holdout must be shorter than the window (3 months)",
        ),
        (
            {"schedule": "@daily", "window": days(20)},  # the default holdout does not fit it
            "shorter than the window (20 days) (given: 14 days)",
        ),
        ({"schedule": None, "end": "2013-01-20"}, "shorter than the data from start to end (given: 14 days)"),
        (
            {"window": days(30)},
            "window: is shorter than an interval of the schedule (2013-01-01 to 2013-02-01); allowed: that long or longer",
        ),
        (
            {"schedule": "30 6 * * 1-5", "window": days(2), "holdout": hours(5)},
            "(2013-01-04T06:30 to 2013-01-07T06:30)",
        ),
        ({"end": "2013-01-31"}, "before the end of the first whole interval (2013-01-01 to 2013-02-01)"),
        ({"start": "2013-01-02", "end": "2013-02-28"}, "(2013-02-01 to 2013-03-01)"),
        ({"label": "flight_id"}, "id: is the label's column too"),
        ({"label": "scheduled_departure"}, "time: is the label's column too"),
        ({"id": "scheduled_departure"}, "id: is the time's column too"),
        ({"slices": ["origin", "late", "origin"]}, "slices: late is the label; allowed: other columns"),
        (
            {"slices": ["origin", "late", "origin"]},
            "origin is given twice (given: ['origin', 'late', 'origin'])",
        ),
        (
            {"task": "regression", "metric": "mae", "gates": {}, "function": {"output": "probability"}},
            "function: output 'probability' is for classes; allowed for task 'regression': 'prediction'",
        ),
        ({"task": "regression", "metric": "mae", "gates": {}, "balance": True}, "balances classes"),
        (
            {"function": {"steps": ["clock", "band"]}},
            "function.steps: 'score', which is the model, must be among them, once (given: ['clock', 'band'])",
        ),
        ({"function": {"steps": ["score", "band", "score"]}}, "must be among them, once"),
        ({"function": {"steps": ["band", "score", "band"]}}, "function.steps: given twice: band; a step may"),
        (
            {"function": {"steps": ["../band", "score"]}},
            "function.steps.0: String should match pattern '^[a-z][a-z0-9_]{0,62}$' (given: '../band')",
        ),
        (
            {"function": {"web": True, "triggers": {"arrived": {}}}},
            "function: web and triggers go with target 'openwhisk'; the target is 'embedded'",
        ),
        (
            {"function": {"target": "openwhisk", "triggers": {"nightly": {"cron": "@daily"}}}},
            "function.triggers.nightly: has cron, and no payload: say what the function is asked each time",
        ),
        (
            {"function": {"rollout": {"steps": [50, 25]}}},
            "function.rollout.steps: must rise from step to step, such as [5, 25, 50]; 100 at the end",
        ),
        (
            {"function": {"rollout": {"steps": [100]}}},
            "function.rollout.steps: has no step below 100; to switch at once, leave rollout out",
        ),
        (
            {"function": {"rollout": {"errors": 0.5}}},
            "function.rollout.errors: Input should be greater than or",
        ),
        ({"function": {"chain": "rope"}}, "function.chain: Input should be 'sequence' or 'process'"),
        ({"function": {"log": 1.5}}, "function.log: Input should be less than or equal to 1 (given: 1.5)"),
        (
            {"sources": [table("planes", connection="a", query="q")]},
            "at least one source needs a time column",
        ),
        ({"sources": [files("a", "x", time="t"), files("a", "y", time="t")]}, "given twice: a"),
        ({"sources": [files("a", "s3://user:secret@bucket/x", time="t")]}, "holds a password"),
        ({"search": Search(method="grid", stepSize=(0.1, 0.2))}, "a range has no grid"),
    ],
)
def test_names_what_does_not_go_together(
    fields: dict[str, Any], change: dict[str, Any], expected: str
) -> None:
    """Fields that are right alone but wrong together are refused with what would be right."""
    assert expected in faults(fields, **change)


@pytest.mark.parametrize(
    "schedule", ["0 0 1 * * *", "* * * *", "@midnight", "R R * * *", "0 0 30 2 *", "monthly"]
)
def test_a_schedule_has_five_fields(fields: dict[str, Any], schedule: str) -> None:
    """Six fields are seconds to some and years to others, R is another time in each process, some days never come."""
    assert "five cron fields, @hourly" in faults(fields, schedule=schedule)


@pytest.mark.parametrize("field", ["start", "end"])
@pytest.mark.parametrize("given", [5, 5.0, True, "5", "June", "2013-13-01", ["2013-01-01"]])
def test_a_date_is_a_date(fields: dict[str, Any], field: str, given: object) -> None:
    """A number is no count of seconds since 1970, and what is no date is told what one looks like."""
    message = faults(fields, **{field: given})
    assert f"{field}: is no date; allowed: a date such as 2013-01-01, or a time such as" in message
    assert f"(given: {given!r})" in message


@pytest.mark.parametrize(
    "given", ["2013-01-01", "2013-01-01T01:00+01:00", date(2013, 1, 1), datetime(2013, 1, 1)]
)
def test_a_date_is_utc(fields: dict[str, Any], given: object) -> None:
    """Dates and times, as texts or values, mean UTC unless they name a zone."""
    assert Pipeline(**{**fields, "start": given}).start == datetime(2013, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("x/{{ interval", "is a broken template: unexpected end of template"),
        ("x/{% if %}", "is a broken template: Expected an expression"),
        ("x/{{ day }}/{{ var }}", "names day; allowed: {{ interval }}, {{ interval.start }}"),
        ("x/{{ interval.month }}", "names interval.month; allowed"),
        ("s3://me:hunter2@b/{{ day }}", "names day; allowed"),
        ("s3://me:hunter2@b/{{ day }}", "holds a password"),
    ],
)
def test_a_uris_template_is_checked(fields: dict[str, Any], uri: str, expected: str) -> None:
    """Broken syntax and unknown names are told when the spec is parsed, not by the first run."""
    message = faults(fields, sources=[files("flights", uri, time="t")])
    assert "sources.0.uri: " in message
    assert expected in message


@pytest.mark.parametrize("field", ["query", "version"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select * from t where at > :since and at < :end", "names :since; allowed: :start and :end"),
        (
            "select * from t where at > '{{ interval.start }}'",
            "is no template; allowed: the parameters :start",
        ),
    ],
)
def test_a_querys_parameters_are_checked(
    fields: dict[str, Any], field: str, query: str, expected: str
) -> None:
    """A query knows the interval's bounds and nothing else, and is no template."""
    queries = {"query": "select 1", field: query}
    message = faults(fields, sources=[table("t", connection="c", time="at", **queries)])
    assert f"sources.0.{field}: {expected}" in message


def test_what_is_given_is_shown_without_its_password(fields: dict[str, Any]) -> None:
    """A password in the wrong place stays out of the message, wherever the text is cut."""
    long = "postgresql://u:hunter2" + "x" * 80 + "@h/x"
    sources = [
        table("a", connection="postgresql://u:hunter2@h/x", query="select 1", time="t"),
        table("b", connection=long, query="select 1"),
        files("c", "s3://me:hunter2@bucket/x.csv"),
        files("d", "https://h/x.csv?token=hunter2&day={{ day }}"),
    ]
    message = faults(fields, sources=sources, owner=["postgresql://u:hunter2@h/x"])
    assert "given: 'postgresql://u:***@h/x'" in message
    assert "given: 's3://me:***@bucket/x.csv'" in message
    assert "sources.3.uri: " in message
    assert "owner: " in message
    assert "hunter2" not in message


def test_a_gate_can_be_switched_off(fields: dict[str, Any]) -> None:
    """`False` switches a gate off; the others keep their defaults."""
    pipeline = Pipeline(**{**fields, "gates": {"champion": False}})
    assert pipeline.gates.champion is False
    assert pipeline.gates.parity


def test_functions_of_the_kind_mleap_go_where_they_were_seen(fields: dict[str, Any]) -> None:
    """To the function host and to plain Kubernetes."""
    for target in ("embedded", "kubernetes"):
        function = {"bundle": "mleap", "target": target}
        assert Pipeline(**{**fields, "function": function}).function.target == target
    assert "go with target 'knative'" in faults(fields, function={"bundle": "mleap", "target": "knative"})


def test_schema_can_be_printed() -> None:
    """The JSON Schema names every field, so that an editor or another language can check a spec."""
    schema = Pipeline.model_json_schema()
    assert {"name", "sources", "gates", "search", "window"} <= set(schema["properties"])
    assert json.dumps(schema)


def test_executors_are_for_the_stages_that_run_spark(fields: dict[str, Any]) -> None:
    """Given for another stage, or placed by a word that Kubernetes lacks, they are refused with what is allowed."""
    executors = {"count": 2}
    Pipeline(**fields, resources={"features": {"executors": executors}, "train": {"executors": executors}})
    said = faults(fields, resources={"collect": {"executors": executors}})
    assert "executors are for features and train, which run Spark; given for collect" in said
    assert "memory" in faults(fields, resources={"train": {"executors": {"count": 1, "memory": "512Mi"}}})
    assert "NoSchedule" in faults(fields, resources={"train": {"tolerations": [{"effect": "Never"}]}})
