"""A model of the kind mleap, from a fitted pipeline to an answer of the function host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.signatures import PUBLIC_KEYS, SIGNING_KEY, generate
from penstock.store import Store
from tests.conftest import MakeMlflow
from tests.images.function_mleap.conftest import same
from tests.jobs.registering import Project
from tests.jobs.small_models import lay
from tests.jobs.validate_model.test_validate_model import by_name, judge
from tests.penstock.host.harness import RunningHost

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.maven, pytest.mark.spark]


@pytest.fixture
def project(spark: SparkSession, tmp_path: Path, make_mlflow: MakeMlflow) -> Project:
    """A project with a model as training leaves it."""
    store = Store(f"file://{tmp_path}/trained")
    store.open_format()
    lay(spark, store, pipeline="flights", name="good", rows=400)
    return Project.make(tmp_path / "project", tmp_path / "trained", make_mlflow)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RunningHost]:
    """A host that does not run yet."""
    running = RunningHost(tmp_path / "state")
    yield running
    running.close()


def test_from_a_fitted_pipeline_to_an_answer(
    project: Project, host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registered as a Bundle.ML, signed, judged by the runtime that serves it, and served: its answers are Spark's."""
    private, public = generate()
    monkeypatch.setenv(SIGNING_KEY, private)
    registered = project.register("flights", "good", bundle="mleap")
    assert registered.summary["parity_fault"] is None
    gates = by_name(judge(project, "flights", registered))
    for name in ("parity", "fit"):
        assert gates[name].passed, gates[name]
    host.start(environment={PUBLIC_KEYS: public})
    package = project.path(registered, "package")
    host_said = host.put(package, name="flights")
    assert host_said.status_code == 201, host_said.text
    host.route(registered.summary["revision"], name="flights")
    samples = json.loads((package / "samples.json").read_text())
    for record, expected in zip(samples["records"], samples["answers"], strict=True):
        answer = host.client.post("/functions/flights/predict", json=record)
        assert same(answer.json(), expected), (record, answer.text)
    # What changes hands without its signature is refused by the runtime in Java itself.
    (package / "function.sig").unlink()
    host.client.delete("/functions/flights")
    refused = host.put(package, name="flights")
    assert (refused.status_code, "is not signed" in refused.json()["error"]) == (422, True)
