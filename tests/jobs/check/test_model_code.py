"""What is found in a model.py without running it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.check import model_code
from penstock.findings import Checked
from penstock.settings import Settings

MODEL = """
from pyspark.ml import Pipeline
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression


def features(spark, sources):
    return sources["rows"]


def estimator(params):
    return Pipeline(stages=[VectorAssembler(inputCols=["x"], outputCol="features"), LinearRegression(labelCol="y")])
"""

Find = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Checks a model.py (and helpers.py beside it); gives file, line and message of each finding, all errors."""

    def check(
        model: str | None = MODEL, helpers: str | None = None, lock: str | None = None
    ) -> list[tuple[str, str]]:
        settings = Settings(tmp_path, tmp_path / "var", f"file://{tmp_path}/store", "sqlite:///none")
        folder = settings.dags / "shift"
        folder.mkdir(parents=True)
        for name, text in (("model.py", model), ("helpers.py", helpers), ("requirements.txt", lock)):
            if text is not None:
                (folder / name).write_text(text)
        found = model_code.check(
            Checked(name="shift", suites="shift", bundle="onnx", sources={"rows": []}), settings
        )
        assert {each.severity for each in found} <= {"error"}
        assert all(each.next_step for each in found)
        return [(each.where, each.message) for each in found]

    return check


def test_sound_code_has_no_finding(find: Find) -> None:
    """Two functions in their form and stages that can be served."""
    assert find() == []


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        ("nowhere==1.5 --hash=sha256:00", "it asks for nowhere 1.5 (here: none)"),
        ("nowhere>=1.5", "dags/shift/requirements.txt is no lock: expected name==version with --hash"),
    ],
)
def test_a_library_that_is_not_here(find: Find, lock: str, said: str) -> None:
    """It is told as what it is, not as an import that fails."""
    ((where, message),) = find(lock=lock)
    assert where == "dags/shift/requirements.txt"
    assert said in message


def test_a_model_file_that_is_not_there(find: Find) -> None:
    """A pipeline without model.py is named."""
    assert find(None) == [("dags/shift/model.py", "there is no such file")]


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ("def features", "def feature", "", "it has no function features(spark, sources)"),
        (
            "features(spark, sources)",
            "features(spark)",
            ":7",
            "it has features(spark), expected features(spark, sources)",
        ),
        ("estimator(params)", "estimator(params, *, more)", ":11", "expected estimator(params)"),
        ("def features", "def features(", ":7", "it does not compile"),
        ("import Pipeline", "import Pipelin", ":2", "cannot import name 'Pipelin'"),
        (
            "\nfrom pyspark.ml import",
            "import helpers\nfrom pyspark.ml import",
            ":1",
            "No module named 'helpers'",
        ),
        ("\nfrom pyspark.ml import", "raise SystemExit(3)\nfrom pyspark.ml import", "", "exit code 3"),
    ],
)
def test_a_fault_in_model_code_is_found_at_its_line(
    find: Find, old: str, new: str, where: str, said: str
) -> None:
    """Missing functions, wrong arguments, syntax and imports: each with file and line."""
    ((found, message),) = find(MODEL.replace(old, new, 1))
    assert found == f"dags/shift/model.py{where}"
    assert said in message


def test_columns_made_at_import_are_no_fault(find: Find) -> None:
    """Model code may make Spark columns at import, for which the job has a session and the check has none."""
    late = "from pyspark.sql import functions as F\nLATE = F.col('delay') > 15\n"
    assert find(late + MODEL) == []


@pytest.mark.parametrize(
    ("imported", "made"),
    [
        ("from pyspark.ml.feature import Word2Vec", "Word2Vec()"),
        ("from pyspark.ml.feature import Word2Vec as Reduce", "Reduce()"),
        ("from pyspark.ml import feature", "feature.Word2Vec()"),
        ("import pyspark.ml.feature", "pyspark.ml.feature.Word2Vec()"),
        ("import helpers", "helpers.reduce()"),
        ("from helpers import reduce", "reduce()"),
    ],
)
def test_a_stage_that_cannot_be_served_is_found(find: Find, imported: str, made: str) -> None:
    """However it was imported, and in a helper beside model.py too, a stage without a form in a function is named."""
    code = f"{imported}\n{MODEL}".replace("stages=[", f"stages=[{made}, ")
    helpers = "from pyspark.ml.feature import Word2Vec\n\n\ndef reduce():\n    return Word2Vec()\n"
    ((where, message),) = find(code, helpers)
    assert where == ("dags/shift/helpers.py:5" if "helpers" in imported else "dags/shift/model.py:13")
    assert message.startswith("the stage Word2Vec cannot become a function of the kind onnx; supported are ")
    assert "GBTClassifier" in message


def test_features_may_use_any_transformer(find: Find) -> None:
    """Only estimator() travels into the function: what features() does stays in Spark."""
    code = "from pyspark.ml.feature import Word2Vec\n" + MODEL.replace(
        "return sources", "Word2Vec()\n    return sources"
    )
    assert find(code) == []
