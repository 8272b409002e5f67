"""register killed anywhere, or raced by itself: one logged model, one version, as if it had run once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import StoreError
from penstock.registry import CHALLENGER
from penstock.work import Item, Request
from penstock_function.package import Package
from penstock_function.scorer import Scorer
from tests.jobs.registering import Project

pytestmark = pytest.mark.spark

#: A job that kills itself with SIGKILL right after one call of MLflow's client.
_KILLED = """
import os, signal, sys
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
from mlflow import MlflowClient
call = getattr(MlflowClient, {call!r})
def killed(*args, **kwargs):
    call(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(MlflowClient, {call!r}, killed)
from jobs.common.job import main
from jobs.register.stage import run
main("register", run)
"""


def start(project: Project, item: Item, folder: Path, code: str) -> subprocess.Popen[bytes]:
    """The job's process, running `code`. It prints into a pipe: pytest's own capture is a file, which a full disk bounds."""
    folder.mkdir()
    request = Request(stage="register", pipeline="flights", run="test", items=[item])
    (folder / "request.json").write_text(request.model_dump_json())
    command = [sys.executable, "-c", code, "--request", "request.json", "--outcome", "outcome.json"]
    environment = {**os.environ, **project.settings.environment()}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def assert_registered_once(project: Project) -> None:
    """One version and one ready logged model of the training key, the alias on it."""
    client = project.registry.client
    (version,) = project.registry.versions("flights")
    experiment = client.get_experiment_by_name("flights")
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert model.status == "READY"
    assert len(client.search_runs([experiment.experiment_id])) == 1
    challenger = project.registry.by_alias("flights", CHALLENGER)
    assert challenger is not None
    assert challenger.version == version.version == "1"


@pytest.mark.parametrize(
    "call",
    ["create_logged_model", "log_model_artifacts", "create_model_version", "set_registered_model_alias"],
)
def test_killed_and_run_again_it_ends_as_if_undisturbed(project: Project, tmp_path: Path, call: str) -> None:
    """SIGKILL after any step that leaves something in MLflow: the next run finds it and finishes."""
    item = project.register_item("flights", "good")
    assert start(project, item, tmp_path / "killed", _KILLED.format(call=call)).wait() == -signal.SIGKILL
    assert project.store.result("flights", "register", item.key) is None
    result = project.register("flights", "good")
    assert_registered_once(project)
    package = Package.load(project.path(result, "package"))
    Scorer(package).prove()
    assert package.version == "1"
    assert project.version("flights", "good").register_path == result.path


@pytest.mark.parametrize("salts", [("one", "other"), (None, None)], ids=["two keys", "one key"])
def test_two_at_once_make_one_version(
    project: Project, tmp_path: Path, salts: tuple[str | None, str | None]
) -> None:
    """Two jobs that register the same model at once agree on one version, whose package the store has."""
    code = "from jobs.common.job import main; from jobs.register.stage import run; main('register', run)"
    items = [project.register_item("flights", "good", salt=salt) for salt in salts]
    jobs = [start(project, item, tmp_path / str(number), code) for number, item in enumerate(items)]
    assert [job.wait() for job in jobs] == [0, 0]
    assert_registered_once(project)
    results = [project.store.result("flights", "register", item.key) for item in items]
    assert {result.summary["version"] for result in results if result} == {"1"}
    assert len({result.digest for result in results if result}) == 1
    registered = project.version("flights", "good").register_path
    assert registered is not None
    assert Package.load(project.path(project.store.result_at(registered), "package")).version == "1"


#: A job in which something happens between MLflow's logging of the model and the writing of its package.
_MEANWHILE = """
import os
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
from jobs.register import version
from jobs.common.job import main
from jobs.register.stage import run
expected = version.expected
def meanwhile(registry, wanted):
    number = expected(registry, wanted)
    {happens}
    return number
version.expected = meanwhile
main("register", run)
"""


def test_no_room_for_the_package_registers_nothing(project: Project, tmp_path: Path) -> None:
    """The disk is full when the package is written: the job says so, and no version without a package is left."""
    full = (
        "import resource, sys; sys.dont_write_bytecode = True;"  # see tests/full_disk.py
        "resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256))"
    )
    item = project.register_item("flights", "good")
    job = start(project, item, tmp_path / "full", _MEANWHILE.format(happens=full))
    assert job.wait() == StoreError.exit_code
    assert project.registry.versions("flights") == []
    assert project.store.result("flights", "register", item.key) is None
    assert project.register("flights", "good").summary["version"] == "1"


def test_a_version_registered_by_hand_meanwhile(project: Project, tmp_path: Path) -> None:
    """The number that was foreseen is taken: the package is made again with the one that it got."""
    by_hand = (
        "registry.client.create_registered_model(wanted.name);"
        "registry.client.create_model_version(wanted.name, source='file:///none')"
    )
    item = project.register_item("flights", "good")
    assert start(project, item, tmp_path / "by_hand", _MEANWHILE.format(happens=by_hand)).wait() == 0
    result = project.store.result("flights", "register", item.key)
    assert result is not None
    package = Package.load(project.path(result, "package"))
    assert result.summary["version"] == package.version == "2"
    assert project.version("flights", "good").version == "2"


def test_a_model_without_an_onnx_form_registers_nothing(project: Project) -> None:
    """A stage that cannot be converted ends the job before MLflow hears of it, naming the stage."""
    from jobs.bundle.errors import UnsupportedStage
    from jobs.register.stage import run

    trained = project.trained("flights", "good")
    metadata = next(project.path(trained, "model/stages").glob("0_*/metadata/part-*"))
    metadata.write_text(metadata.read_text().replace("feature.ImputerModel", "feature.Word2VecModel"))
    with pytest.raises(UnsupportedStage, match="Word2VecModel"):
        project.commit("register", "flights", project.register_item("flights", "good"), run)
    assert project.registry.versions("flights") == []
