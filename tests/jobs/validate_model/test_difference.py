"""How the package's answers are compared with Spark's, and what a package needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.validate_model.difference import difference
from jobs.validate_model.judge import measured
from jobs.validate_model.scored import Holdout, Scored
from penstock_function.package import Package
from penstock_function.scorer import Scorer
from tests.jobs.small_packages import linear, package


@pytest.fixture
def scorer(tmp_path: Path) -> Scorer:
    samples = ([{"x": 1.0}, {"x": None}], [{"prediction": 2.0}, {"prediction": 0.0}])
    return Scorer(Package.load(package(tmp_path / "package", linear({"x": 2.0}), {"x": "double"}, samples)))


def holdout(spark: list[float]) -> tuple[Scored, Holdout]:
    """Answers of 2000, 1 and 2 by the package, beside those of Spark."""
    ours = Scored("regression", np.zeros(3), np.array([2000.0, 1.0, 2.0]), None)
    theirs = Scored("regression", np.zeros(3), np.array(spark), None)
    ids = np.array(["a", "b", "c"], dtype=object)
    return ours, Holdout(ids, ids, {"x": np.zeros(3)}, theirs)


def test_a_difference_is_relative_to_large_answers_and_absolute_to_small(scorer: Scorer) -> None:
    """2 of 2000 count 0.001; 0.002 of 1 counts more; the row with the largest is named with both values."""
    found = difference(scorer, *holdout([2002.0, 1.002, 2.0]))
    assert found.largest == pytest.approx(0.002 / 1.002)
    assert "prediction of row 'b'" in found.where
    assert (found.rows, found.samples, found.sample_fault) == (3, 2, None)


def test_equal_answers_differ_by_nothing(scorer: Scorer) -> None:
    """Also where neither has an answer."""
    ours, rows = holdout([2000.0, 1.0, 2.0])
    assert difference(scorer, ours, rows).largest == 0
    none = np.array([np.nan, 1.0, 2.0])
    neither = difference(
        scorer,
        Scored("regression", ours.y, none, None),
        Holdout(rows.ids, rows.times, rows.columns, Scored("regression", ours.y, none, None)),
    )
    assert neither.largest == 0


def test_an_answer_that_only_one_has_is_infinitely_far(scorer: Scorer) -> None:
    """A row that the package refuses and Spark scored, say."""
    assert difference(scorer, *holdout([2000.0, np.nan, 2.0])).largest == np.inf


def test_a_probability_that_differs_is_found(tmp_path: Path) -> None:
    """Every output is compared, not only the prediction."""
    samples = ([{"x": 0.0}], [{"prediction": 0, "probability": {"0": 0.5, "1": 0.5}}])
    folder = package(
        tmp_path / "p", linear({"x": 1.0}, classes=[0, 1]), {"x": "double"}, samples, classes=[0, 1]
    )
    ours = Scored("binary", np.zeros(1), np.zeros(1), np.array([[0.6, 0.4]]))
    theirs = Scored("binary", np.zeros(1), np.zeros(1), np.array([[0.6, 0.401]]))
    ids = np.array(["a"], dtype=object)
    found = difference(Scorer(Package.load(folder)), ours, Holdout(ids, ids, {}, theirs))
    assert found.largest == pytest.approx(0.001)
    assert "probability_1 of row 'a'" in found.where


def test_samples_that_are_not_proved_are_told(tmp_path: Path) -> None:
    """The samples' fault comes along, whatever the rows say."""
    samples = ([{"x": 1.0}], [{"prediction": 2.5}])
    scorer = Scorer(Package.load(package(tmp_path / "p", linear({"x": 2.0}), {"x": "double"}, samples)))
    found = difference(scorer, *holdout([2000.0, 1.0, 2.0]))
    assert found.largest == 0
    assert found.sample_fault is not None
    assert "2.5" in found.sample_fault


def test_a_package_is_measured_in_a_process_of_its_own(scorer: Scorer, tmp_path: Path) -> None:
    """Size, payload, memory and latency of the package that serves, without what this process has loaded."""
    found = measured(tmp_path / "package")
    size = sum(path.stat().st_size for path in (tmp_path / "package").iterdir())
    assert found.size_mb == size / 1e6
    assert found.payload_kb == len(b'{"prediction": 2.0}') / 1e3
    assert 20 < found.memory_mb < 150
    assert 0 < found.latency_ms < 50
