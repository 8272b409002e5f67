"""The declaration: what it accepts, and that every fault is named at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock import Pipeline, Search, days, files, months, table
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
    """Twelve wrong fields give one message with each field, what was given and what is allowed."""
    message = faults(
        fields,
        owner="",
        task="binry",
        sources=[files("A flight", "x"), table("planes", connection="sqlite://u:secret@h/x", query="q")],
        schedule="sometimes",
        end="2012-01-01",
        window=months(0),
        search=Search(trials=0, maxDepth=[], stepSize=(3, 1)),
        gates={"holdout": {"roc_auc": "0.7"}, "champion": {"max_loss": -1}},
        colour="red",
    )
    for expected in (
        "owner: ", "task: ", "'binary', 'multiclass' or 'regression' (given: 'binry')", "sources.0.name: ",
        "sources.1.connection: ", "schedule: ", "(given: 'sometimes')", "end: must be after start",
        "window: a duration must be longer", "search.trials: ", "gates.holdout.roc_auc: is no threshold",
        "gates.champion.max_loss: ", "colour: ",
    ):  # fmt: skip
        assert expected in message, f"{expected!r} is missing from:\n{message}"
    assert "literal" not in message
    assert "Gate." not in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"metric": "rmse"}, "allowed for task 'binary': roc_auc"),
        ({"direction": "minimize"}, "allowed 'maximize'"),
        ({"gates": {"holdout": {"rmse": "<= 3"}}}, "holdout names rmse"),
        ({"holdout": days(60)}, "must be shorter than the window"),
        ({"task": "regression", "metric": "mae", "gates": {}, "balance": True}, "balances classes"),
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


def test_a_gate_can_be_switched_off(fields: dict[str, Any]) -> None:
    """`False` switches a gate off; the others keep their defaults."""
    pipeline = Pipeline(**{**fields, "gates": {"champion": False}})
    assert pipeline.gates.champion is False
    assert pipeline.gates.parity


def test_schema_can_be_printed() -> None:
    """The JSON Schema names every field, so that an editor or another language can check a spec."""
    schema = Pipeline.model_json_schema()
    assert {"name", "sources", "gates", "search", "window"} <= set(schema["properties"])
    assert json.dumps(schema)
