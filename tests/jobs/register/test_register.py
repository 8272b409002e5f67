"""register on real trained models: the package, the MLflow model, the one version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from jobs.common.tracking import connect
from penstock.errors import UserCodeError
from penstock.registry import CHALLENGER, CHAMPION, KEY, WINDOW_END
from penstock.signatures import SIGNING_KEY, generate
from penstock_function.explanation import Explainer
from penstock_function.package import Log, Package
from penstock_function.scorer import Scorer
from penstock_function.signature import public_keys
from penstock_function.steps import Steps
from tests.jobs.frames import frame_of
from tests.jobs.registering import TASKS, Project
from tests.jobs.small_models import FEATURES, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


@pytest.mark.parametrize("pipeline", ["flights", "delay", "kinds"])
def test_each_task_becomes_a_package_that_proves_itself(project: Project, pipeline: str) -> None:
    """Binary, regression and multiclass: the package answers Spark's own samples, and has its version's number."""
    result = project.register(pipeline, "good")
    package = Package.load(project.path(result, "package"))
    Scorer(package).prove()
    assert result.summary["parity_fault"] is None
    assert package.version == result.summary["version"] == "1"
    assert package.key == result.summary["train_key"] == project.trained(pipeline, "good").key
    assert [field.name for field in package.inputs] == FEATURES


@pytest.mark.parametrize("pipeline", ["flights", "delay", "kinds"])
def test_what_a_package_answers_it_explains(project: Project, pipeline: str) -> None:
    """The package has the training rows' medians and most frequent values, with which its answers are explained."""
    package = Package.load(project.path(project.register(pipeline, "good"), "package"))
    trained = table(1500, 1, TASKS[pipeline])
    assert package.reference is not None
    assert package.reference["origin"] == trained["origin"].mode()[0]
    for name in ("distance", "hour", "seats"):
        # Spark's median is one of the values, where pandas takes the middle of two.
        assert package.reference[name] == trained[name].astype(float).quantile(0.5, "lower")
    changes = Explainer(Scorer(package)).explain(package.samples.records[0])
    assert "hour" in [change["feature"] for change in changes]


def test_a_package_is_signed_where_there_is_a_key(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever trusts the key takes it; the log names the public key, and never the private one."""
    private, public = generate()
    monkeypatch.setenv(SIGNING_KEY, private)
    result = project.register("delay", "good")
    assert Package.load(project.path(result, "package"), public_keys(public)).version == "1"
    printed = capfd.readouterr()
    assert f"signed: the public key is {public}" in printed.out
    assert private not in printed.out + printed.err + result.model_dump_json()


def test_the_package_says_what_is_logged(project: Project) -> None:
    """The spec's rate and those of its sensitive columns that the function is given; of the others it knows nothing."""
    asked = {"rate": 0.5, "sensitive": ["id", "origin"]}
    package = Package.load(project.path(project.register("flights", "good", log=asked), "package"))
    assert package.log == Log("flights", 0.5, frozenset({"origin"}))
    assert Package.load(project.path(project.register("delay", "good"), "package")).log is None


STEPS = {
    "clock": """
TAKES = {"departure": "string"}
GIVES = {"hour": "int"}
EXAMPLES = [({"departure": "05:15"}, {"hour": 5})]

def run(record):
    return {"hour": int(record["departure"].split(":")[0])}
""",
    "band": """
TAKES = {"probability": "object"}
GIVES = {"band": "string"}
EXAMPLES = [({"probability": {"0": 0.2, "1": 0.8}}, {"band": "high"})]

def run(record):
    return {"band": "high" if record["probability"]["1"] > 0.5 else "low"}
""",
}


@pytest.fixture
def stepped(project: Project, tmp_path: Path) -> Project:
    """The installation with a root of its own, which has the steps."""
    root = tmp_path / "root"
    for name, source in STEPS.items():
        (root / "steps" / name).mkdir(parents=True)
        (root / "steps" / name / "step.py").write_text(source)
    for name in ("jobs", "images", "penstock", "dags"):
        (root / name).symlink_to(project.settings.root / name)
    return Project(replace(project.settings, root=root), project.folder)


def test_a_package_has_the_steps_that_the_spec_names(stepped: Project) -> None:
    """A step before the model and one after it: the function takes what the first takes, and gives what the last gives."""
    result = stepped.register("flights", "good", steps=["clock", "score", "band"])
    package = Package.load(stepped.path(result, "package"))
    steps = Steps(package)
    assert {field.name for field in steps.inputs} == {*FEATURES, "departure"} - {"hour"}
    record, answer = package.samples.records[0], package.samples.answers[0]
    asked = {**record, "departure": f"{record['hour']}:30"}
    del asked["hour"]
    [model], [given] = steps.around([asked], Scorer(package).score)
    assert model == record
    assert given["probability"] == pytest.approx(answer["probability"], abs=1e-9)
    assert given["band"] == ("high" if answer["probability"]["1"] > 0.5 else "low")


def test_a_wrong_step_is_no_version(stepped: Project) -> None:
    """The step is named with what it answered, or the library that it lacks; nothing is registered."""
    band = stepped.settings.root / "steps/band/step.py"
    band.write_text(STEPS["band"].replace("> 0.5", "> 0.9"))
    with pytest.raises(
        UserCodeError, match=r"example 0 of steps/band/step.py: found {'band': 'low'}, expected"
    ):
        stepped.register("flights", "good", steps=["clock", "score", "band"])
    band.write_text(STEPS["band"])
    band.with_name("requirements.txt").write_text("nowhere==1.5 --hash=sha256:00\n")
    with pytest.raises(
        UserCodeError, match=r"steps/band/requirements.txt asks for nowhere 1.5 \(here: none\)"
    ):
        stepped.register("flights", "good", steps=["clock", "score", "band"])
    assert stepped.registry.versions("flights") == []


def test_other_steps_than_were_planned_are_refused(stepped: Project) -> None:
    """The job computes their digests from the files where it runs."""
    item = stepped.register_item("flights", "good", steps=["clock", "score", "band"])
    (stepped.settings.root / "steps/band/step.py").write_text(f"#\n{STEPS['band']}")
    ran = stepped.driver("register", "flights").process(item, stepped.folder)
    assert (ran.status, ran.outcome.kind) == (8, "key-mismatch")
    assert "another steps/band than is here" in str(ran.outcome.message)


def test_the_version_leads_to_everything(project: Project) -> None:
    """The version has the key, the window and the path of its package, and is the challenger."""
    result = project.register("flights", "good")
    version = project.version("flights", "good")
    assert version.register_path == result.path
    assert version.tags[KEY] == result.summary["train_key"]
    assert version.tags[WINDOW_END] == "2013-06-03T00:00:00+00:00"
    assert version.run_id == result.summary["mlflow_run_id"]
    challenger = project.registry.by_alias("flights", CHALLENGER)
    assert challenger is not None
    assert challenger.version == version.version


def test_the_run_says_where_the_model_comes_from(project: Project) -> None:
    """Training's MLflow run has the dataset inputs with our digests, the model as output, its metrics and the keys."""
    result = project.register("flights", "good")
    run = project.registry.client.get_run(result.summary["mlflow_run_id"])
    trained = project.trained("flights", "good")
    data = {given.dataset.name: given.dataset.digest for given in run.inputs.dataset_inputs}
    assert data == dict.fromkeys(["train", "holdout"], trained.inputs["features"].digest)
    assert [output.model_id for output in run.outputs.model_outputs] == [result.summary["mlflow_model_id"]]
    assert run.data.metrics["holdout/roc_auc"] == trained.summary["metrics"]["roc_auc"]
    assert run.data.tags["penstock.train_key"] == trained.key
    assert json.loads(run.data.tags["penstock.libraries"])["pyspark"] == "4.1.4"
    model = project.registry.client.get_logged_model(result.summary["mlflow_model_id"])
    assert {metric.key: metric.value for metric in model.metrics}["holdout/roc_auc"] == trained.summary[
        "metrics"
    ]["roc_auc"]


def test_training_s_own_run_is_used_where_it_is_there(project: Project, tmp_path: Path) -> None:
    """The model is logged in the run that trained it, and its files lie with that run's."""
    client, experiment = connect(project.settings, "flights", tmp_path / "scratch")
    own = client.create_run(experiment).info.run_id
    path = project.path(project.trained("flights", "good"), "").parent / "_result.json"
    value = json.loads(path.read_text())
    value["summary"]["mlflow_run_id"] = own
    path.write_text(json.dumps(value))
    registered = project.register("flights", "good").summary
    assert registered["mlflow_run_id"] == own
    location = client.get_logged_model(registered["mlflow_model_id"]).artifact_location
    assert location.startswith(project.settings.mlflow_artifacts.as_uri())


def test_nothing_is_written_outside_the_installation(project: Project, tmp_path: Path) -> None:
    """MLflow's files all lie below var/, and its scratch is gone with the job's."""
    before = set(tmp_path.iterdir())
    result = project.register("flights", "good")
    location = project.registry.client.get_logged_model(result.summary["mlflow_model_id"]).artifact_location
    assert location.startswith(f"file://{project.settings.mlflow_artifacts}")
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "scratch"}


def test_registered_again_it_is_the_same_version(project: Project) -> None:
    """Another register of the same training key (forced) makes no second version or model, and is found by its path."""
    first = project.register("flights", "good")
    again = project.register("flights", "good", salt="forced")
    assert again.summary == first.summary
    assert again.digest == first.digest
    assert len(project.registry.versions("flights")) == 1
    assert project.version("flights", "good").register_path == again.path
    experiment = project.registry.client.get_experiment_by_name("flights")
    assert experiment is not None
    assert len(project.registry.client.search_logged_models([experiment.experiment_id])) == 1


def test_each_training_key_is_a_version(project: Project) -> None:
    """Another model is the next version; a champion that is registered again does not become challenger."""
    project.register("flights", "weak")
    project.registry.set_alias("flights", CHAMPION, "1")
    assert project.register("flights", "good").summary["version"] == "2"
    project.register("flights", "weak", salt="forced")
    challenger = project.registry.by_alias("flights", CHALLENGER)
    assert challenger is not None
    assert challenger.version == "2"


def test_a_stranger_loads_the_champion(project: Project, tmp_path: Path) -> None:
    """A process without any of our code scores a natural DataFrame through MLflow and gets Spark's answers."""
    result = project.register("flights", "good")
    project.registry.set_alias("flights", CHAMPION, "1")
    samples = json.loads(project.path(project.trained("flights", "good"), "samples.json").read_text())
    (tmp_path / "samples.json").write_text(json.dumps(samples["records"]))
    code = f"""
import importlib.abc, json, sys
class Ours(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] not in ("penstock", "jobs", "penstock_function", "penstock_airflow", "tests"), name
sys.meta_path.insert(0, Ours())
import mlflow, pandas as pd
mlflow.set_tracking_uri({project.settings.mlflow_uri!r})
model = mlflow.pyfunc.load_model("models:/flights@champion")
table = pd.DataFrame(json.load(open("samples.json")))
whole = table.dropna().astype({{"distance": int, "hour": int, "seats": int}})
assert (whole.dtypes[["distance", "hour", "seats"]] == "int64").all()
assert len(model.predict(whole)) == len(whole)
print(json.dumps(model.predict(table).to_dict("list")))
"""
    stranger = tmp_path / "elsewhere"
    stranger.mkdir()
    (stranger / "samples.json").write_text(json.dumps(samples["records"]))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PENSTOCK"))
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=stranger,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert result.summary["version"] == "1"
    assert answers["prediction"] == [answer["prediction"] for answer in samples["answers"]]
    spark = [answer["probability"]["1"] for answer in samples["answers"]]
    assert answers["probability_1"] == pytest.approx(spark, abs=1e-9)


def test_a_classifier_without_probabilities(project: Project) -> None:
    """Its package answers the prediction, is proved by its samples, and MLflow's model is told what it gives."""
    import mlflow

    result = project.register("flights", "margin")
    package = Package.load(project.path(result, "package"))
    assert (package.output, result.summary["parity_fault"]) == ("prediction", None)
    mlflow.set_tracking_uri(project.settings.mlflow_uri)
    model = mlflow.pyfunc.load_model(result.summary["model_uri"])
    answers = model.predict(pd.DataFrame(list(package.samples.records)))
    assert list(answers["prediction"]) == [answer["prediction"] for answer in package.samples.answers]
    named = model.metadata.signature.outputs.input_names()
    assert list(answers.columns)[:2] == named == ["prediction", "rawPrediction"]


def test_the_spark_model_comes_back_from_mlflow(
    project: Project, spark: SparkSession, tmp_path: Path
) -> None:
    """`mlflow.spark.load_model` gives the very model that was trained, by the alias."""
    import mlflow.spark

    project.register("flights", "good")
    project.registry.set_alias("flights", CHAMPION, "1")
    mlflow.set_tracking_uri(project.settings.mlflow_uri)
    model = mlflow.spark.load_model("models:/flights@champion", dfs_tmpdir=str(tmp_path / "dfs"))
    holdout = pd.read_parquet(project.path(project.trained("flights", "good"), "holdout.parquet")).head(50)
    rows = frame_of(
        spark,
        "origin string, distance double, hour double, seats double",
        [
            tuple(None if pd.isna(value) else value for value in row)
            for row in holdout[FEATURES].itertuples(index=False)
        ],
    )
    answers = [row["prediction"] for row in model.transform(rows).collect()]
    assert answers == holdout["_prediction"].tolist()


def test_the_onnx_flavor_is_the_packages_graph(project: Project) -> None:
    """MLflow's ONNX flavor holds the graph that is deployed, byte by byte."""
    import mlflow.onnx

    result = project.register("flights", "good")
    mlflow.set_tracking_uri(project.settings.mlflow_uri)
    graph = mlflow.onnx.load_model(result.summary["model_uri"])
    assert (
        graph.SerializeToString(deterministic=True) == project.path(result, "package/model.onnx").read_bytes()
    )
