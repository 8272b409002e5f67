"""The model code in docs/pipeline.md is code that trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE = Path(__file__).parents[2] / "docs" / "pipeline.md"


@pytest.mark.spark
def test_the_docs_two_functions_make_a_model(spark: SparkSession) -> None:
    """`features()` and `estimator()` as the docs show them fit a small table and score it."""
    found = re.search(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    scope: dict[str, Any] = {}
    exec(found[1], scope)
    rows = [(str(n), float(n), float(n % 3 == 0), "ab"[n % 2], float(n)) for n in range(60)]
    frame = spark.createDataFrame(rows, ["parcel", "handed_over", "late", "carrier", "distance_km"])
    made = scope["features"](spark, {"parcels": frame})
    model = scope["estimator"]({"regParam": 0.1}).fit(made)
    assert {"prediction", "probability"} <= set(model.transform(made).columns)
