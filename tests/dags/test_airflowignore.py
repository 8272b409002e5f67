"""What Airflow parses of dags/, and what the declarations there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow._shared.module_loading import find_path_from_directory

from penstock import loader
from penstock.intervals import Interval
from penstock.settings import load
from penstock.templates import render_uri

DAGS = Path(__file__).parents[2] / "dags"


def test_only_declarations_are_parsed() -> None:
    """By dags/.airflowignore Airflow sees every pipeline.py, and no model or helper."""
    paths = map(Path, find_path_from_directory(str(DAGS), ".airflowignore"))
    found = {path.relative_to(DAGS).as_posix() for path in paths if path.suffix == ".py"}
    assert {"flight_delays/pipeline.py", "flight_arrival/pipeline.py"} <= found
    assert {path for path in found if not path.endswith("/pipeline.py")} == set()


@pytest.mark.parametrize(
    ("name", "task", "label", "metric"),
    [
        ("flight_delays", "binary", "late", "roc_auc"),
        ("flight_arrival", "regression", "arrival_delay", "mae"),
    ],
)
def test_the_examples_are_sound(name: str, task: str, label: str, metric: str) -> None:
    """Each example loads without Airflow, with three months of window, two weeks of holdout, and 2013 as its year."""
    pipeline = loader.load(name, DAGS)
    assert (pipeline.task, pipeline.label, pipeline.metric) == (task, label, metric)
    assert (str(pipeline.window), str(pipeline.holdout), pipeline.schedule) == (
        "3 months",
        "14 days",
        "@monthly",
    )
    assert f"{pipeline.start:%Y-%m-%d} {pipeline.end:%Y-%m-%d}" == "2013-01-01 2014-01-01"
    assert [source.name for source in pipeline.sources] == ["flights", "weather", "planes", "airports"]
    assert [source.snapshot for source in pipeline.sources] == [False, False, True, True]


def test_files_are_found_by_interval() -> None:
    """The files of June lie in the folder of its first day, below this installation's state."""
    source = loader.load("flight_delays", DAGS).sources[0]
    here = load()
    june = Interval.model_validate({"start": "2013-06-01T00:00:00Z", "end": "2013-07-01T00:00:00Z"})
    assert render_uri(source, june, here) == f"{here.var}/data/flights/2013-06-01/*.csv.gz"  # type: ignore[arg-type]
