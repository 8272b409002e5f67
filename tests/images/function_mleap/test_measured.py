"""A Bundle.ML is measured by the runtime in Java that serves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.fit import measure
from tests.jobs.small_packages import linear_bundle, package

pytestmark = pytest.mark.maven


def test_a_bundle_is_measured_by_its_own_runtime(tmp_path: Path) -> None:
    """Every figure of a package of the other kind, with a JVM's memory."""
    samples: tuple[list[dict[str, float]], list[dict[str, float]]] = ([{"x": 1.0}], [{"prediction": 2.0}])
    folder = package(tmp_path / "line", linear_bundle({"x": 2.0}), {"x": "double"}, samples)
    found = measure.figures(folder, print)
    assert 20e6 < found.rest_bytes < found.loaded_bytes
    assert min(found.requests_a_second, found.records_a_second, found.own_p99_ms, found.first_answer_ms) > 0
