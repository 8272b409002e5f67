"""The champion on the challenger's rows: by its package, or as it once answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.validate_model.champion import Answers, answers
from jobs.validate_model.gates.champion import Unscorable
from jobs.validate_model.scored import Holdout, Scored, aligned
from penstock_function.package import Package
from penstock_function.scorer import Scorer
from tests.jobs.small_packages import linear, package

NAMES = {"label": "late", "id": "flight", "time": "at"}
SAMPLES = ([{"x": 0.0, "y": 0.0}], [{"prediction": 0, "probability": {"0": 0.5, "1": 0.5}}])


def holdout_file(
    path: Path, ids: list[str], columns: dict[str, list[float]], first: str = "2013-05-20"
) -> Path:
    """A holdout as training leaves it, whose stored answers are logistic(x) of `columns`, or of 0 without it."""
    x = np.array(columns.get("x", [0.0] * len(ids)))
    share = 1 / (1 + np.exp(-x))
    times = np.datetime64(first, "us") + np.arange(len(ids)) * np.timedelta64(1, "h")
    table = {"flight": ids, "at": times, "late": (x > 0).astype(float), **columns}
    table |= {
        "_prediction": (share > 0.5).astype(float),
        "_probability_0": 1 - share,
        "_probability_1": share,
    }
    pq.write_table(pa.table(table), path)
    return path


def holdout_of(path: Path) -> Holdout:
    return Holdout.read(path, task="binary", **NAMES)


@pytest.fixture
def champion(tmp_path: Path) -> Scorer:
    """Version 3, which reads x and y and answers logistic(x + y)."""
    folder = package(
        tmp_path / "champion", linear({"x": 1.0, "y": 1.0}, classes=[0, 1]), {"x": "double", "y": "double"}, SAMPLES,
        classes=[0, 1], version="3",
    )  # fmt: skip
    return Scorer(Package.load(folder))


def test_its_own_package_scores_the_new_rows(tmp_path: Path, champion: Scorer) -> None:
    """Where every column is there, the code that serves gives the champion's answers, columns in any order."""
    path = holdout_file(
        tmp_path / "new.parquet", ["a", "b"], {"y": [1.0, -3.0], "z": [0, 0], "x": [1.0, 1.0]}
    )
    found = answers(champion, [0, 1], holdout_of(path), path, NAMES, "roc_auc", "flights")
    assert isinstance(found, Answers)
    assert found.how == "scored by its package"
    assert found.scored.prediction.tolist() == [1, 0]
    assert found.scored.probabilities is not None
    assert found.scored.probabilities[:, 1] == pytest.approx(1 / (1 + np.exp([-2.0, 2.0])))


def test_a_column_that_is_gone_falls_back_to_its_answers_of_then(tmp_path: Path, champion: Scorer) -> None:
    """They are joined by id, in the new rows' order, where they cover nine rows in ten; the others have none."""
    ids = [f"f{number}" for number in range(10)]
    old = holdout_file(
        tmp_path / "old.parquet", ids[:9], {"x": [float(n) - 4.5 for n in range(9)], "y": [0.0] * 9}
    )
    new = holdout_file(tmp_path / "new.parquet", ids[::-1], {"x": [0.0] * 10})
    found = answers(champion, [0, 1], holdout_of(new), old, NAMES, "roc_auc", "flights")
    assert isinstance(found, Answers)
    assert "y gone from features()" in found.how
    assert found.scored.answered.tolist() == [False] + [True] * 9
    assert found.scored.prediction[1:].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_where_they_cover_too_little_it_says_what_to_run(tmp_path: Path, champion: Scorer) -> None:
    """Two commands: the champion's window with the new code, then this one again."""
    old = holdout_file(tmp_path / "old.parquet", ["a"], {"x": [0.0], "y": [0.0]}, first="2013-04-30")
    new = holdout_file(tmp_path / "new.parquet", ["a", "b"], {"x": [0.0, 0.0]}, first="2013-05-31")
    found = answers(champion, [0, 1], holdout_of(new), old, NAMES, "roc_auc", "flights")
    assert isinstance(found, Unscorable)
    assert found.version == "3"
    assert "no longer gives: y" in found.why
    assert "cover 50%" in found.why
    assert "`penstock run flights --date 2013-04-30`" in found.next_step
    assert "--date 2013-05-31" in found.next_step


def test_a_column_that_changed_its_type_is_as_good_as_gone(tmp_path: Path, champion: Scorer) -> None:
    """Text where the champion reads a number cannot be scored: the same way out."""
    path = tmp_path / "new.parquet"
    holdout_file(path, ["a", "b"], {"x": [0.0, 0.0], "y": [0.0, 0.0]})
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("y"), "y", pa.array(["far", "near"])), path)
    old = holdout_file(tmp_path / "old.parquet", ["z"], {"x": [0.0], "y": [0.0]})
    found = answers(champion, [0, 1], holdout_of(path), old, NAMES, "roc_auc", "flights")
    assert isinstance(found, Unscorable)
    assert "cannot be read any more" in found.why


def test_classes_are_matched_by_their_values() -> None:
    """A champion that knew other classes, in another order: its probabilities go to the same values, new ones get 0."""
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [np.nan] * 3])
    own = Scored("multiclass", np.zeros(3), np.array([0.0, 2.0, np.nan]), shares)
    found = aligned(own, ["b", "a", "gone"], ["a", "b", "new"])
    assert found.prediction[:2].tolist() == [1, -1]
    assert np.isnan(found.prediction[2])
    assert found.probabilities is not None
    assert found.probabilities[:2].tolist() == [[0.2, 0.7, 0.0], [0.1, 0.1, 0.0]]


@pytest.mark.parametrize(("wanted", "kept"), [(["z", "b"], True), (["b", "c"], False), (["a", "b"], True)])
def test_a_raw_score_is_matched_by_its_class(wanted: list[str], kept: bool) -> None:
    """A binary champion without probabilities: its raw score is that of one class, and speaks for no other."""
    own = Scored("binary", np.zeros(2), np.array([1.0, 0.0]), None, np.array([0.5, -0.5]))
    found = aligned(own, ["a", "b"], wanted)
    assert found.prediction[0] == wanted.index("b")
    assert (found.raw is not None) == found.tells("roc_auc") == kept
    assert not found.tells("log_loss")
