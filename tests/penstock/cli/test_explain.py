"""`penstock explain`: what a stage's key rests on that differs from the run before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.intervals import Interval
from penstock.record import Entry, Failure, ItemEntry, Run, Runs
from penstock.results import GateResult, Input, StageResult, State
from penstock.settings import Settings
from penstock.store import Store
from tests.penstock.cli.conftest import Penstock

MONTH = Interval(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 2, 1, tzinfo=UTC))
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def train(here: Settings, run: str, key: str, number: int = 0, state: State = "ran", **changes: Any) -> None:
    """A run in which train had this key, made of `changes` on the usual."""
    store = Store(here.store)
    made_of = {
        "spec": {"search": {"trials": 8, "seed": 0}}, "salt": None, "inputs": {"features": Input(path="", digest="f1")},
        "made_by": {"code": "c1", "environment": "e1", "run": run},
    }  # fmt: skip
    result = store.commit(
        StageResult(
            pipeline="shift", stage="train", subject="", key=key, attempt="a", digest=key, state="ran",
            started=STARTED.isoformat(), seconds=1.0, **(made_of | changes),
        )
    )  # fmt: skip
    runs = Runs(store)
    planned = runs.create(
        Run(
            run=run,
            pipeline="shift",
            interval=MONTH,
            window=[MONTH],
            started=STARTED + timedelta(hours=number),
        )
    )
    item = ItemEntry(subject="", key=key, path=result.path, state=state)
    runs.write(planned, Entry(stage="train", state=state, why="w", items=[item], ended=STARTED))


def explained(penstock: Penstock, run: str) -> dict[str, Any]:
    (stage,) = penstock("explain", run, "--json").answer["stages"]
    (item,) = stage["items"]
    return dict(item)


@pytest.mark.parametrize(
    ("changes", "what", "before", "now"),
    [
        ({"spec": {"search": {"trials": 4, "seed": 0}}}, "spec search.trials", "8", "4"),
        ({"spec": {"search": {"trials": 8, "seed": 0, "maxDepth": [3]}}}, "spec search.maxDepth", None, "[3]"),
        ({"salt": "two"}, "salt", None, "two"),
        ({"inputs": {"features": Input(path="", digest="f2")}}, "input features", "f1", "f2"),
        ({"inputs": {"features": Input(path="", digest="f1"), "folder": Input(path="", digest="d")}}, "input folder", None, "d"),
        ({"made_by": {"code": "c2", "environment": "e1", "run": "two"}}, "code", "c1", "c2"),
        ({"made_by": {"code": "c1", "environment": "e2", "run": "two"}}, "environment", "e1", "e2"),
    ],
)  # fmt: skip
def test_what_differs_is_named(
    penstock: Penstock,
    shift: Settings,
    changes: dict[str, Any],
    what: str,
    before: str | None,
    now: str | None,
) -> None:
    """A field of the spec, the salt, an input, the code or the environment: which, from what, to what."""
    train(shift, "one", "k1")
    train(shift, "two", "k2", 1, **changes)
    item = explained(penstock, "two")
    assert item["compared_with"] == "one"
    assert item["differences"] == [{"what": what, "before": before, "now": now}]
    assert what in penstock("explain", "two").stdout


def test_a_reused_key_names_the_run_that_made_it(penstock: Penstock, shift: Settings) -> None:
    """Going back to an older parameter reuses the older run's model, though the run before had another."""
    train(shift, "one", "k1")
    train(shift, "two", "k2", 1, spec={"search": {"trials": 4, "seed": 0}})
    train(shift, "three", "k1", 2, state="reused")
    item = explained(penstock, "three")
    assert (item["made_by"], item["compared_with"]) == ("one", "two")
    assert [each["what"] for each in item["differences"]] == ["spec search.trials"]
    assert "made by run one" in penstock("explain", "three").stdout


def test_the_first_run_has_nothing_before_it(penstock: Penstock, shift: Settings) -> None:
    """No run to compare with is no difference."""
    train(shift, "one", "k1")
    assert explained(penstock, "one")["compared_with"] is None
    assert "no earlier run" in penstock("explain", "one").stdout


def test_what_was_removed_is_said(penstock: Penstock, shift: Settings) -> None:
    """Where the store has the older result no more, the keys differ and nobody can say why."""
    train(shift, "one", "k1")
    train(shift, "two", "k2", 1)
    Store(shift.store).remove("shift/train/k1")
    (difference,) = explained(penstock, "two")["differences"]
    assert "not in the store any more" in difference["what"]


def test_gates_and_failures_are_told_whole(penstock: Penstock, shift: Settings) -> None:
    """A gate's observed, required, why and next step; a failure's message and next step."""
    train(shift, "one", "k1")
    runs = Runs(Store(shift.store))
    (record,) = runs.all("shift")
    gate = GateResult(
        name="holdout", passed=False, observed="rmse 3", required="rmse <= 2", why="too far", next_step="tune"
    )
    failure = Failure(kind="deploy", message="the host is full", next_step="free space", exit_code=9)
    runs.write(
        record.run, Entry(stage="validate_model", state="refused", why="w", gates=[gate], ended=STARTED)
    )
    runs.write(record.run, Entry(stage="deploy", state="failed", why="w", failure=failure, ended=STARTED))
    stages = {stage["name"]: stage for stage in penstock("explain", "one", "--json").answer["stages"]}
    assert stages["validate_model"]["gates"][0]["next_step"] == "tune"
    assert stages["deploy"]["failure"]["next_step"] == "free space"
    said = penstock("explain", "one").stdout
    for part in (
        "observed rmse 3, required rmse <= 2; too far",
        "To do: tune",
        "the host is full. To do: free space",
    ):
        assert part in said


def test_a_run_is_found_by_its_beginning_or_last(penstock: Penstock, shift: Settings) -> None:
    """A unique beginning, `last`, or PIPELINE/RUN; what fits several or none is an error that lists them."""
    train(shift, "manual__a", "k1")
    train(shift, "manual__b", "k2", 1)
    for wanted, run in (("last", "manual__b"), ("manual__a", "manual__a"), ("shift/manual__b", "manual__b")):
        assert penstock("explain", wanted, "--json").answer["run"] == run
    several = penstock("explain", "manual")
    assert several.code == 1
    assert "2 runs begin with 'manual': shift/manual__b, shift/manual__a" in several.stderr
    assert "the newest are: manual__b, manual__a" in penstock("explain", "other").stderr
    assert "none yet" in penstock("explain", "nope/last").stderr
