"""`penstock init`: a whole pipeline or nothing, over data of its own or a CSV. That it runs: test_run_live.py."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock import loader
from penstock.settings import Settings
from tests.penstock.cli.conftest import Penstock

Rows = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Rows:
    """Writes a CSV of 200 rows, an hour of 2024 each; keywords add columns, by a function of the row's number."""

    def make(name: str = "rows.csv", **columns: Callable[[int], Any]) -> Path:
        base: dict[str, Callable[[int], Any]] = {
            "order": lambda n: f"O{n}",
            "at": lambda n: (datetime(2024, 1, 1) + timedelta(hours=6 * n)).isoformat(),
            "amount": lambda n: n * 1.5,
            "shop": lambda n: ["north", "south", "NA"][n % 3],
            "paid": lambda n: n % 2,
        }
        columns = base | columns
        path = tmp_path / name
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows([make(n) for make in columns.values()] for n in range(200))
        data = text.getvalue().encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return make


def test_without_a_csv_it_brings_data_of_its_own(penstock: Penstock, project: Settings) -> None:
    """The scaffold is a year of monthly files, a suite, the declaration and the model code; the declaration loads."""
    ran = penstock("init", "parcels", "--json")
    assert ran.answer["task"] == "binary"
    assert all((project.root / file).is_file() for file in ran.answer["files"])
    assert len([file for file in ran.answer["files"] if file.startswith("data/parcels/")]) == 12
    pipeline = loader.load("parcels", project.dags)
    assert (pipeline.schedule, str(pipeline.window), pipeline.suites) == ("@monthly", "3 months", "parcels")
    assert not [path for path in project.root.iterdir() if path.name.startswith(".")]


def test_its_data_is_the_same_each_time(penstock: Penstock, project: Settings) -> None:
    """The same name gives the same data, so that two people see the same numbers."""
    penstock("init", "parcels")
    first = (project.root / "data/parcels/2024-05-01.csv").read_text()
    for folder in ("dags", "expectations", "data"):
        (project.root / folder / "parcels").rename(project.root / f"{folder}-before")
    penstock("init", "parcels")
    assert (project.root / "data/parcels/2024-05-01.csv").read_text() == first


def test_the_next_commands_are_named(penstock: Penstock) -> None:
    """A person is told what to type next."""
    assert "next: penstock check parcels, then penstock run parcels" in penstock("init", "parcels").stdout


@pytest.mark.parametrize("folder", ["dags", "expectations", "data"])
def test_nothing_is_overwritten(penstock: Penstock, project: Settings, folder: str) -> None:
    """Where a folder of that name is there, whatever is in it, nothing is written anywhere."""
    (project.root / folder / "parcels").mkdir(parents=True)
    ran = penstock("init", "parcels")
    assert ran.code == 1
    assert "is there already" in ran.stderr
    assert [path.name for path in project.root.rglob("parcels")] == ["parcels"]


@pytest.mark.parametrize("name", ["Parcels", "2nd", "with-dash", "../up", ""])
def test_a_name_is_checked_first(penstock: Penstock, project: Settings, name: str) -> None:
    """What cannot be a pipeline's name is refused before anything is written."""
    assert penstock("init", name).code == 1
    assert list(project.dags.iterdir()) == []


def test_a_full_disk_leaves_nothing(
    penstock: Penstock, project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure between the folders takes back those that were in place."""
    moved = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target.parent.name == "dags":
            raise OSError(28, "No space left on device", str(target))
        return moved(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    ran = penstock("init", "parcels")
    assert ran.code == 1
    assert "No space left on device" in ran.stderr
    assert sorted(path.name for path in project.root.rglob("*parcels*")) == []


@pytest.mark.parametrize(
    ("label", "task", "metric"),
    [
        (lambda n: n % 2, "binary", "roc_auc"),
        (lambda n: ["yes", "no"][n % 2], "binary", "roc_auc"),
        (lambda n: ["low", "mid", "high"][n % 3], "multiclass", "macro_f1"),
        (lambda n: n % 5, "multiclass", "macro_f1"),
        (lambda n: n % 50, "regression", "rmse"),
        (lambda n: n / 7, "regression", "rmse"),
    ],
)
def test_the_task_follows_from_the_label(
    penstock: Penstock, project: Settings, table: Rows, label: Callable[[int], Any], task: str, metric: str
) -> None:
    """Two values are a binary task, a few classes a multiclass one, many numbers a regression."""
    path = table(paid=label)
    assert penstock("init", "orders", "--csv", str(path), "--label", "paid", "--json").answer["task"] == task
    pipeline = loader.load("orders", project.dags)
    assert (pipeline.task, pipeline.metric) == (task, metric)


def test_a_csv_is_used_where_it_lies(penstock: Penstock, project: Settings, table: Rows) -> None:
    """Id, time, span and source come from the file, which is not copied; a task that is given holds."""
    path = table("rows.csv.gz")
    penstock("init", "orders", "--csv", str(path), "--label", "paid", "--task", "multiclass")
    pipeline = loader.load("orders", project.dags)
    assert (pipeline.task, pipeline.label, pipeline.time, pipeline.id) == (
        "multiclass",
        "paid",
        "at",
        "order",
    )
    assert pipeline.sources[0].model_dump()["uri"] == str(path)
    assert (f"{pipeline.start:%F}", f"{pipeline.end:%F}") == ("2024-01-01", "2024-02-20")
    assert pipeline.schedule is None
    assert not (project.root / "data").exists()


def test_a_csv_of_the_project_is_named_from_its_root(
    penstock: Penstock, project: Settings, table: Rows
) -> None:
    """A file below the project is found by whoever has the project elsewhere."""
    (project.root / "data").mkdir()
    path = table().rename(project.root / "data" / "orders.csv")
    penstock("init", "orders", "--csv", str(path), "--label", "paid")
    assert loader.load("orders", project.dags).sources[0].model_dump()["uri"] == "data/orders.csv"


def test_columns_that_cannot_be_features_are_left_out_and_said(
    penstock: Penstock, project: Settings, table: Rows
) -> None:
    """Free text, other times, constants, empty columns and names that are taken stand in a comment with the reason."""
    path = table(
        remark=lambda n: f"text {n}", seen=lambda n: "2024-01-01", land=lambda n: "x", gap=lambda n: "",
        prediction=lambda n: n,
    )  # fmt: skip
    penstock("init", "orders", "--csv", str(path), "--label", "paid", "--time", "at")
    code = (project.dags / "orders" / "model.py").read_text()
    for line in (
        '"remark": text of more than 100 different values', '"seen": a time', '"land": it has one value only',
        '"gap": it has no value', '"prediction": the name is taken',
    ):  # fmt: skip
        assert f"#   {line}" in code
    assert 'CATEGORIES = ["shop"]\nNUMBERS = ["amount"]' in code


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--csv needs --label"),
        (["--label", "none"], "its columns: order, at, amount, shop, paid"),
        (["--label", "paid", "--time", "amount"], "cannot be the time: it holds double"),
        (["--label", "paid", "--id", "shop"], "cannot be the id: its values repeat"),
        (["--label", "paid", "--task", "cooking"], "expected binary, multiclass, regression"),
        (
            ["--label", "amount", "--task", "binary"],
            "cannot be the label of a binary task: it holds 200 values",
        ),
        (["--label", "shop", "--task", "regression"], "cannot be the label of a regression task"),
    ],
)
def test_what_does_not_fit_the_file_is_named(
    penstock: Penstock, project: Settings, table: Rows, options: list[str], said: str
) -> None:
    """Each wrong option says what the file has, and nothing is written."""
    ran = penstock("init", "orders", "--csv", str(table()), *options)
    assert ran.code == 1
    assert said in ran.stderr
    assert list(project.dags.iterdir()) == []


def test_a_path_that_would_be_a_pattern_is_refused(
    penstock: Penstock, project: Settings, table: Rows
) -> None:
    """A bracket in a file's name would be read as a pattern that finds nothing."""
    ran = penstock("init", "orders", "--csv", str(table("rows [1].csv")), "--label", "paid")
    assert ran.code == 1
    assert "is a pattern, in which [ means something else" in ran.stderr


def test_several_times_have_to_be_chosen_from(penstock: Penstock, table: Rows) -> None:
    """Where two columns hold times, both are named."""
    path = table(sent=lambda n: f"2024-03-{n % 28 + 1:02d}T00:00:00")
    assert (
        "2 columns could be it: at, sent"
        in penstock("init", "o", "--csv", str(path), "--label", "paid").stderr
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n1,2,3\n", "line 2: 3 values, expected 2"),
        ("a,a\n1,2\n", "has a column twice: a"),
        ("a\xff,b\n", "cannot be read as CSV"),
    ],
)
def test_a_file_that_is_no_table_is_named(penstock: Penstock, tmp_path: Path, text: str, said: str) -> None:
    """A broken CSV says where it breaks, with the status of bad data."""
    path = tmp_path / "broken.csv"
    path.write_bytes(text.encode("latin-1"))
    ran = penstock("init", "orders", "--csv", str(path), "--label", "b")
    assert ran.code == 4
    assert said in ran.stderr
