"""What a pipeline's spec says of its function holds of the function: explained answers, and the log of its predictions."""

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


def test_a_function_explains_and_logs(make_project: Callable[[], Project]) -> None:
    """From the spec by way of a run: an answer tells what moved it, and is in the store without what is sensitive."""
    project = make_project()
    scaffold(project)
    asked = '    function={"log": 1},\n    sensitive=["carrier", "parcel"],\n    metric='
    change(project.root / "dags" / PIPELINE / "pipeline.py", "    metric=", asked)
    project.penstock("run", PIPELINE, "--date", DATE)
    record = json.loads((project.var / "host" / "host.json").read_text())
    url = f"{record['url']}/functions/{PIPELINE}/predict?explain=true"
    answer = httpx.post(url, json=ROW, headers={"x-request-id": "r-1"}, timeout=60).json()
    assert {each["feature"] for each in answer["explanation"]} <= set(ROW)
    assert answer["explanation"]
    project.penstock("down")
    # It starts another host, which takes up what that one left.
    project.penstock("run", PIPELINE, "--date", DATE)
    until(lambda: any((project.var / "store").rglob("_predictions/**/*.parquet")), 120)
    [path] = (project.var / "store" / PIPELINE / "_predictions").rglob("*.parquet")
    [row] = pq.read_table(path).to_pylist()
    assert row["request_id"] == "r-1"
    assert row["score"] == answer["probability"]["1"]
    assert row["inputs"] == {name: value for name, value in ROW.items() if name != "carrier"}
