"""`penstock check`: every kind of fault is found where it stands, without running anything."""

from __future__ import annotations

from penstock.settings import Settings
from tests.penstock.cli.conftest import Penstock
from tests.penstock.shop import write

MODEL = """
from pyspark.ml import Pipeline
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression


def features(spark, sources):
    return sources["rows"]


def estimator(params):
    return Pipeline(stages=[VectorAssembler(inputCols=["x"], outputCol="features"), LinearRegression(labelCol="y")])
"""


def findings(penstock: Penstock, severity: str = "error") -> list[tuple[str, str]]:
    """File (and line) and message of each finding in `shift`."""
    ran = penstock("check", "shift", "--json")
    (pipeline,) = ran.answer["pipelines"]
    assert ran.code == (2 if any(each["severity"] == "error" for each in pipeline["findings"]) else 0)
    return [(each["where"], each["message"]) for each in pipeline["findings"] if each["severity"] == severity]


def test_a_scaffold_is_sound(penstock: Penstock) -> None:
    """What `init` writes has no finding at all."""
    penstock("init", "parcels")
    ran = penstock("check")
    assert ran.code == 0
    assert ran.stdout == "parcels is sound\n"


def test_a_wrong_spec_lists_its_faults(penstock: Penstock, shift: Settings) -> None:
    """All faults of a declaration come in one finding at its file, and the other pipelines are checked on."""
    path = shift.dags / "shift" / "pipeline.py"
    path.write_text(path.read_text().replace('metric="rmse"', 'metric="fun"').replace('id="row"', 'id=""'))
    ((where, message),) = findings(penstock)
    assert where == "dags/shift/pipeline.py"
    assert "2 faults" in message
    assert "metric" in message
    assert "id" in message


def test_a_missing_suite_is_a_warning(penstock: Penstock, shift: Settings) -> None:
    """A source that nobody asks anything of passes, and is said."""
    write(shift.dags / "shift" / "model.py", MODEL)
    assert findings(penstock, "warning") == [
        ("expectations/shift/rows.json", "there is no suite, so nothing is asked of this source")
    ]


def test_a_folder_of_suites_that_is_not_there_is_an_error(penstock: Penstock, shift: Settings) -> None:
    """With a slip in expectations= nothing would be validated."""
    write(shift.dags / "shift" / "model.py", MODEL)
    path = shift.dags / "shift" / "pipeline.py"
    path.write_text(path.read_text().replace('metric="rmse"', 'metric="rmse", expectations="nope"'))
    ((where, message),) = findings(penstock)
    assert where == "expectations/nope"
    assert "is not there" in message


def test_faults_of_model_code_and_suites_come_together(penstock: Penstock, shift: Settings) -> None:
    """What the job side finds in a pipeline's files stands beside what is found here, pipeline by pipeline."""
    write(shift.dags / "shift" / "model.py", MODEL.replace("def features", "def feature"))
    write(shift.expectations / "shift" / "rows.json", "{")
    assert [where for where, _ in findings(penstock)] == [
        "dags/shift/model.py",
        "expectations/shift/rows.json",
    ]
    ran = penstock("check", "shift")
    assert ran.code == 2
    assert "shift has faults" in ran.stdout


def test_an_unknown_pipeline_is_an_error(penstock: Penstock, shift: Settings) -> None:
    """A wrong name is told with the right ones."""
    ran = penstock("check", "shfit")
    assert ran.code == 2
    assert "pipelines here: shift" in ran.stderr
