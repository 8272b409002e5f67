"""From `penstock init` to a live function, as a new user goes: one real run, and every command on what it left."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import telemetry
from penstock.settings import Settings, load
from penstock.targets.embedded import EmbeddedTarget
from tests.penstock.cli.conftest import Ran
from tests.penstock.conftest import CHECKOUT

pytestmark = [pytest.mark.spark, pytest.mark.e2e, pytest.mark.timeout(1200)]


#: What the tests themselves are told (tests/conftest.py), and a person's shell is not.
_TOLD = ("PENSTOCK_", "AIRFLOW", "MPLCONFIGDIR", "XDG_", *telemetry.OFF)


class Home:
    """A project in which each command is a process of its own, as for a person, whose home is `person`."""

    def __init__(self, folder: Path) -> None:
        self.root, self.person, self.temporary = folder / "project", folder / "person", folder / "tmp"
        self.person.mkdir()
        self.temporary.mkdir()
        (self.root / "dags").mkdir(parents=True)
        for shared in ("jobs", "images"):
            (self.root / shared).symlink_to(CHECKOUT / shared)
        ours = {
            "PENSTOCK_ROOT": str(self.root), "PENSTOCK_VAR": str(folder / "var"), "PENSTOCK_HOST_PORT": "0",
            "HOME": str(self.person), "TMPDIR": str(self.temporary),
        }  # fmt: skip
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_TOLD)}
        self.environment = {**inherited, **ours}

    @property
    def settings(self) -> Settings:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return load()

    def __call__(self, *arguments: str) -> Ran:
        command = [sys.executable, "-c", "from penstock.cli.main import main; main()", *arguments]
        ran = subprocess.run(
            command, env=self.environment, cwd=self.root, capture_output=True, text=True, check=False
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("live"))
    yield made
    EmbeddedTarget(made.settings.host_state).stop()


@pytest.fixture(scope="module")
def first(home: Home) -> Any:
    """The answer of the scaffold's first run."""
    assert home("init", "parcels").code == 0
    ran = home("run", "parcels", "--trials", "2", "--json")
    assert ran.code == 0, ran.stderr[-3000:]
    return ran.answer


def test_the_first_run_ends_live(home: Home, first: Any) -> None:
    """Every stage ran, every gate passed, and version 1 serves at the URL."""
    assert first["state"] == "succeeded"
    assert [stage["name"].split("@")[0] for stage in first["stages"]] == [
        *["collect"] * 3, *["validate"] * 3, "features", "train", "register", "validate_model", "deploy",
    ]  # fmt: skip
    assert {stage["state"] for stage in first["stages"]} == {"ran"}
    assert {gate["name"] for gate in first["gates"]} == {
        "data",
        "holdout",
        "champion",
        "slices",
        "parity",
        "fit",
    }
    assert all(gate["passed"] for gate in first["gates"])
    assert (first["version"], first["failure"]) == ("1", None)


def test_its_curl_line_works(first: Any) -> None:
    """The line that a run prints can be pasted into a shell, and the function answers as that version."""
    answered = subprocess.run(shlex.split(first["curl"]), capture_output=True, text=True, check=True)
    answer = json.loads(answered.stdout)
    assert answer["version"] == "1"
    assert set(answer["probability"]) == {"0", "1"}


def test_a_second_run_starts_no_job(home: Home, first: Any) -> None:
    """With nothing changed all is reused, by key, and no job says a word."""
    ran = home("run", "parcels", "--trials", "2", "--json")
    assert ran.answer["state"] == "succeeded"
    assert {stage["state"] for stage in ran.answer["stages"]} == {"reused"}
    assert [s["key"] for s in ran.answer["stages"][:9]] == [s["key"] for s in first["stages"][:9]]
    assert (ran.answer["version"], ran.answer["url"]) == ("1", first["url"])
    assert " | " not in ran.stderr
    explained = home("explain", "last", "--json").answer
    items = [item for stage in explained["stages"] for item in stage["items"] if stage["name"] != "deploy"]
    assert {item["made_by"] for item in items} == {first["run"]}
    assert all(item["differences"] == [] for item in items)


def test_status_knows_the_champion(home: Home, first: Any) -> None:
    """Version, URL and verdicts, from registry, target and store."""
    (found,) = home("status", "parcels", "--json").answer["pipelines"]
    assert (found["champion"]["version"], found["serving"], found["url"]) == ("1", "1", first["url"])
    assert found["last_run"]["state"] == "succeeded"


def test_predict_scores_a_file_as_the_function_does(home: Home, first: Any, tmp_path: Path) -> None:
    """The champion over a month of parcels: each row with its answer, equal to the live one's."""
    month = home.root / "data" / "parcels" / "2024-05-01.csv"
    output = tmp_path / "answers.csv"
    ran = home("predict", "parcels", str(month), str(output), "--json")
    assert ran.code == 0, ran.stderr[-2000:]
    assert (ran.answer["rows"], ran.answer["refused"], ran.answer["version"]) == (400, 0, "1")
    rows = list(csv.DictReader(output.open()))
    assert len(rows) == 400
    one = rows[0]
    record = {
        "carrier": one["carrier"], "express": one["express"], "distance_km": float(one["distance_km"]),
        "weight_kg": float(one["weight_kg"]) if one["weight_kg"] else None,
    }  # fmt: skip
    live = home("invoke", "parcels", "--data", json.dumps(record), "--json").answer["answer"]
    assert live["probability"]["1"] == pytest.approx(float(one["probability_1"]), abs=1e-9)
    assert str(live["prediction"]) == one["prediction"]


def test_predict_names_what_a_file_lacks(home: Home, first: Any, tmp_path: Path) -> None:
    """Missing columns: the status of bad data, each name, and no file."""
    data = tmp_path / "in.csv"
    data.write_text("carrier\nswift\n")
    ran = home("predict", "parcels", str(data), str(tmp_path / "out.csv"), "--json")
    assert ran.code == 4
    assert "lacks express, distance_km, weight_kg" in ran.answer["error"]["message"]
    assert not (tmp_path / "out.csv").exists()


def test_gc_finds_nothing_to_remove(home: Home, first: Any) -> None:
    """All that a fresh pipeline has is reached by its runs and version."""
    ran = home("gc", "--json")
    assert [each for each in ran.answer["garbage"] if each["kind"] == "key"] == []
    assert ran.answer["kept"] >= 11


def test_a_csv_of_ones_own_becomes_a_function(home: Home, tmp_path: Path) -> None:
    """`init --csv` on a table of three classes, with odd column names, runs through every gate to a live function."""
    path = tmp_path / "houses.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["house id", "sold_at", "part, of town", "rooms", "garden", "band"])
        for n in range(600):
            rooms = n * 7919 % 7 + 1
            band = ["low", "mid", "high"][min(2, (rooms + (n % 3 == 0) * 2) // 3)]
            day = f"2023-{n // 50 + 1:02d}-{n % 28 + 1:02d}T10:00:00"
            writer.writerow(
                [f"H{n}", day, ["north", "old town", ""][n % 3], rooms if n % 11 else "NA", n % 4 == 0, band]
            )
    made = home("init", "bands", "--csv", str(path), "--label", "band", "--json")
    assert made.answer["task"] == "multiclass"
    assert home("check", "bands").code == 0
    ran = home("run", "bands", "--trials", "1", "--json")
    assert ran.code == 0, ran.stderr[-3000:]
    assert ran.answer["state"] == "succeeded", ran.answer["gates"]
    record = {"part, of town": "old town", "rooms": 7, "garden": "true"}
    live = home("invoke", "bands", "--data", json.dumps(record), "--json").answer["answer"]
    assert live["prediction"] in ("low", "mid", "high")


def test_remove_takes_it_all_away(home: Home, first: Any) -> None:
    """Last of all: the function, the versions and the artifacts are gone, and the folder is there to run again."""
    ran = home("remove", "parcels", "--yes", "--json")
    assert ran.answer["versions"] == 1
    (found,) = home("status", "parcels", "--json").answer["pipelines"]
    assert (found["champion"], found["url"], found["last_run"]) == (None, None, None)
    assert (home.root / "dags" / "parcels" / "model.py").is_file()


def test_nothing_is_written_outside_var(home: Home, first: Any) -> None:
    """After all of the above, jobs of every stage among it, neither the home nor the temporary folder holds a file."""
    assert [*home.person.rglob("*"), *home.temporary.rglob("*")] == []
