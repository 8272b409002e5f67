"""What a pipeline's spec says of its function holds of it: steps, explained answers, and the log of its predictions."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE, ROW, change, scaffold
from tests.servers import until

DATE = "2024-12-01"

pytestmark = [pytest.mark.e2e, pytest.mark.spark, pytest.mark.timeout(1800)]


POUNDS = """
TAKES = {"weight": "string"}
GIVES = {"weight_kg": "double"}
EXAMPLES = [({"weight": "10 lb"}, {"weight_kg": 4.5359237}), ({"weight": "2 kg"}, {"weight_kg": 2})]


def run(record):
    number, unit = record["weight"].split()
    return {"weight_kg": float(number) * {"kg": 1, "lb": 0.45359237}[unit]}
"""
PROMISE = """
TAKES = {"prediction": "long", "carrier": "string"}
GIVES = {"promise": "string"}
EXAMPLES = [({"prediction": 1, "carrier": "swift"}, {"promise": "swift may be late"})]


def run(record):
    return {"promise": f"{record['carrier']} {'may be late' if record['prediction'] else 'is in time'}"}
"""


def test_a_function_has_steps_explains_and_logs(make_project: Callable[[], Project]) -> None:
    """From the spec by way of a run: steps before and after the model, an answer that tells what moved it, and that is
    in the store without what is sensitive, and with what the steps made of it.
    """
    project = make_project()
    scaffold(project)
    for name, source in {"kilograms": POUNDS, "promise": PROMISE}.items():
        (project.root / "steps" / name).mkdir(parents=True)
        (project.root / "steps" / name / "step.py").write_text(source)
    function = '{"log": 1, "steps": ["kilograms", "score", "promise"]}'
    asked = f'    function={function},\n    sensitive=["carrier", "parcel"],\n    metric='
    change(project.root / "dags" / PIPELINE / "pipeline.py", "    metric=", asked)
    project.penstock("run", PIPELINE, "--date", DATE)
    record = json.loads((project.var / "host" / "host.json").read_text())
    url = f"{record['url']}/functions/{PIPELINE}/predict?explain=true"
    row = {**ROW, "weight": "10 lb"}
    del row["weight_kg"]
    answer = httpx.post(url, json=row, headers={"x-request-id": "r-1"}, timeout=60).json()
    assert answer["promise"] == f"swift {'may be late' if answer['prediction'] else 'is in time'}"
    assert {each["feature"] for each in answer["explanation"]} <= set(ROW)
    assert answer["explanation"]
    project.penstock("down")
    # It starts another host, which takes up what that one left.
    project.penstock("run", PIPELINE, "--date", DATE)
    until(lambda: any((project.var / "store").rglob("_predictions/**/*.parquet")), 120)
    [path] = (project.var / "store" / PIPELINE / "_predictions").rglob("*.parquet")
    [logged] = pq.read_table(path).to_pylist()
    assert logged["request_id"] == "r-1"
    assert logged["score"] == answer["probability"]["1"]
    assert logged["inputs"] == {
        "express": ROW["express"], "distance_km": ROW["distance_km"], "weight_kg": pytest.approx(4.5359237)
    }  # fmt: skip
