"""`penstock status`: it works whatever is down, and says what is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from penstock.intervals import Interval
from penstock.record import Entry, Failure, ItemEntry, Run, Runs
from penstock.results import GateResult
from penstock.settings import Settings
from penstock.store import Store
from penstock.targets.embedded import EmbeddedTarget
from tests.openwhisk import AUTH, openwhisk
from tests.penstock.cli.conftest import Penstock
from tests.penstock.shop import SPEC, Shop, write

MONTH = Interval(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 2, 1, tzinfo=UTC))
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def a_run(here: Settings, *entries: Entry, name: str = "one", started: datetime = STARTED) -> None:
    runs = Runs(Store(here.store))
    run = runs.create(Run(run=name, pipeline="shift", interval=MONTH, window=[MONTH], started=started))
    for entry in entries:
        runs.write(run, entry)


def test_a_pipeline_that_never_ran(penstock: Penstock, shift: Settings) -> None:
    """Everything is empty, nothing is an error, and the way on is named."""
    (found,) = penstock("status", "--json").answer["pipelines"]
    assert found["problem"] == "What is x, shifted?"
    assert (found["champion"], found["url"], found["last_run"]) == (None, None, None)
    assert "penstock run shift" in penstock("status").stdout


def test_a_broken_declaration_hides_nothing(penstock: Penstock, shift: Settings) -> None:
    """Where a spec does not load, its fault is shown, and the others are shown as ever."""
    write(shift.dags / "broken" / "pipeline.py", "1 / 0")
    broken, shown = penstock("status", "--json").answer["pipelines"]
    assert "ZeroDivisionError" in broken["fault"]
    assert shown["fault"] is None


def test_the_champion_its_url_and_the_last_verdicts(penstock: Penstock, shop: Shop) -> None:
    """Version, since when, URL from the target; the newest run's state, words and gates from its record."""
    shop.promote()
    gate = GateResult(name="holdout", passed=False, observed="rmse 3", required="rmse <= 2", why="too far")
    a_run(shop.settings, name="older", started=STARTED - timedelta(days=1))
    a_run(
        shop.settings,
        Entry(stage="register", state="ran", why="new", summary={"version": "2"}, ended=STARTED),
        Entry(stage="validate_model", state="refused", why="too far", gates=[gate], ended=STARTED),
        Entry(stage="deploy", state="skipped", why="version 2 was refused: holdout: too far", ended=STARTED),
    )
    (found,) = penstock("status", "shift", "--json").answer["pipelines"]
    assert found["champion"]["version"] == found["serving"] == "1"
    assert datetime.fromisoformat(found["champion"]["since"]) > STARTED
    assert found["url"].endswith("/functions/shift")
    assert found["target"] == "answers"
    last = found["last_run"]
    assert (last["run"], last["state"], last["version"]) == ("one", "refused", "2")
    assert last["why"] == "deploy: version 2 was refused: holdout: too far"
    assert [(each["name"], each["passed"]) for each in last["gates"]] == [("holdout", False)]
    assert "refused" in penstock("status").stdout


def test_a_host_that_is_at_zero_or_down_is_said(penstock: Penstock, shop: Shop) -> None:
    """A function at zero is said to serve; of a host that is down the silence is told with what to do."""
    shop.promote()
    host = EmbeddedTarget(shop.settings.host_state)
    host.stop()
    host.ensure_running()
    (found,) = penstock("status", "--json").answer["pipelines"]
    assert (found["serving"], found["target"]) == ("1", "idle")
    assert "version 1 at http" in (shown := penstock("status").stdout)
    assert "(at zero until it is asked)" in shown
    host.stop()
    ran = penstock("status", "--json")
    (found,) = ran.answer["pipelines"]
    assert ran.code == 0
    assert found["champion"]["version"] == "1"
    assert (found["url"], found["serving"]) == (None, None)
    assert "penstock up" in found["target"]


def test_a_failed_run_says_why(penstock: Penstock, shift: Settings) -> None:
    """The last run's words are its failure and what to do."""
    failure = Failure(kind="data", message="a column is missing", next_step="add it", exit_code=4)
    entry = Entry(stage="features", state="failed", why="a column is missing", failure=failure, ended=STARTED)
    a_run(shift, entry)
    (found,) = penstock("status", "--json").answer["pipelines"]
    assert found["last_run"]["why"] == "features: a column is missing. To do: add it"


def test_a_function_whose_folder_is_gone_is_still_shown(penstock: Penstock, shop: Shop) -> None:
    """What has runs in the store is listed, as it may still serve."""
    shop.promote()
    item = ItemEntry(subject="", key="key1", path="shift/register/key1/won", state="ran")
    a_run(shop.settings, Entry(stage="register", state="ran", why="new", items=[item], ended=STARTED))
    (shop.settings.dags / "shift" / "pipeline.py").unlink()
    (found,) = penstock("status", "--json").answer["pipelines"]
    assert found["fault"] is not None
    assert found["serving"] == "1"


def test_what_asks_a_function_on_openwhisk_is_shown(
    penstock: Penstock, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address on the web, its triggers, and that one is off, which `penstock reconcile` mends."""
    declared = {"target": "openwhisk", "web": True, "triggers": {"arrived": {}}}
    write(
        shop.settings.dags / "shift" / "pipeline.py",
        SPEC.replace('metric="rmse",', f'metric="rmse", function={declared},'),
    )
    version = shop.register()
    shop.registry.set_alias("shift", "champion", version)
    with openwhisk() as server:
        for name, value in (("URL", server.url), ("AUTH", AUTH), ("IMAGE", "registry.example/function:1")):
            monkeypatch.setenv(f"PENSTOCK_OPENWHISK_{name}", value)
        assert penstock("reconcile", "shift").code == 0
        (found,) = penstock("status", "--json").answer["pipelines"]
        assert found["web"] == f"{server.url}/api/v1/web/guest/penstock/shift.json"
        assert found["triggers"] == [
            {"name": "penstock.shift.arrived", "feed": None, "active": True, "fault": None}
        ]
        assert found["target"] == "answers"
        # A deployment asks the live name itself, to see what answers.
        assert (found["activity"]["requests"], found["activity"]["failed"]) == (1, 0)
        server.rules["penstock.shift.arrived.rule"]["status"] = "inactive"
        told = " ".join(penstock("status").stdout.split())
        assert "penstock.shift.arrived by whoever fires it off" in told
        assert "the trigger arrived does not start it; to do: penstock reconcile shift" in told
        assert penstock("reconcile", "shift").code == 0
        assert server.rules["penstock.shift.arrived.rule"]["status"] == "active"
        record = next(each for each in server.records.values() if each["name"] == "shift")
        logs = [json.dumps({"success": False, "error": "Too many [red]requests"})]
        server.records["event"] = {
            **record, "name": "penstock.shift.arrived", "path": "guest/penstock.shift.arrived", "logs": logs
        }  # fmt: skip
        server.records["crash"] = {**record, "response": {"status": "action developer error"}}
        told = " ".join(penstock("status").stdout.split())
        assert "by whoever fires it last time: Too many [red]requests" in told
        assert re.search(
            r"asked [3-9] times since \S+ UTC: 1 failed, [1-9] refused; [\d.]+ ms p50, [\d.]+ ms p99", told
        )
        [component] = server.actions["penstock/shift"]["exec"]["components"]
        del server.actions[component.removeprefix("/_/")]
        told = " ".join(penstock("status").stdout.split())
        assert "is live, and not all of it is there; to do: penstock reconcile shift" in told
