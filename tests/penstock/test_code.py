"""What a run's code is: an image's record agrees with the files here, or the run is refused with what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock import code
from penstock.code import BuildRecord
from penstock.errors import KeyMismatch, SpecError
from penstock.settings import Settings
from penstock.spec.function import Function
from penstock.spec.pipeline import Pipeline
from tests.penstock.test_chain import chain

__all__ = ["chain"]

Record = Callable[[], Path]


@pytest.fixture
def here(chain) -> Settings:  # type: ignore[no-untyped-def]
    return chain.settings


@pytest.fixture
def pipeline(chain) -> Pipeline:  # type: ignore[no-untyped-def]
    return chain.pipeline


@pytest.fixture
def record(here: Settings, pipeline: Pipeline) -> Path:
    """The record of an image that was built from the files here."""
    path = here.dags / "flights" / "image.json"
    own = code.of_checkout(here, pipeline)
    path.write_text(BuildRecord(**own.model_dump(), image="r/p@sha256:0", revision=None).model_dump_json())
    return path


def test_an_image_of_these_files_has_their_code(here: Settings, pipeline: Pipeline, record: Path) -> None:
    """The keys are the same as here, so that runs on a cluster and here share results; the record changes none."""
    found, own = code.of_image(here, pipeline), code.of_checkout(here, pipeline)
    assert found.model_dump(exclude={"image", "revision"}) == own.model_dump()


def test_without_a_record_there_is_no_image(here: Settings, pipeline: Pipeline) -> None:
    """The error names the command that builds one."""
    with pytest.raises(
        SpecError, match=r"dags/flights/image\.json is not there\. To do: penstock image build flights"
    ):
        code.of_image(here, pipeline)


def test_a_record_that_is_none_is_named(here: Settings, pipeline: Pipeline, record: Path) -> None:
    """Half a file, or another one's."""
    record.write_text('{"image": "x"}')
    with pytest.raises(SpecError, match=r"dags/flights/image\.json is no build record"):
        code.of_image(here, pipeline)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("dags/flights/model.py", "dags/flights changed"),
        ("expectations/flights/rows.json", "the suite of rows changed"),
        ("jobs/train/code.py", "the code of train changed"),
    ],
)
def test_what_changed_since_is_named(
    here: Settings, pipeline: Pipeline, record: Path, path: str, said: str
) -> None:
    """A change of the pipeline, its suites or the jobs' code makes the image stale."""
    (here.root / path).write_text("changed")
    with pytest.raises(KeyMismatch, match=f"{said}.*penstock image build flights"):
        code.of_image(here, pipeline)


def test_a_suite_that_is_gone_is_named(here: Settings, pipeline: Pipeline, record: Path) -> None:
    """The image would go on asking what nobody asks any more."""
    (here.expectations / "flights" / "rows.json").unlink()
    with pytest.raises(KeyMismatch, match="the suite of rows changed"):
        code.of_image(here, pipeline)


def stepped(here: Settings, pipeline: Pipeline) -> Pipeline:
    """The pipeline whose function has a step, and the step."""
    (here.steps / "clock").mkdir(parents=True)
    (here.steps / "clock/step.py").write_text("code")
    return pipeline.model_copy(update={"function": Function(steps=["clock", "score"])})


def test_a_step_must_be_in_the_image(here: Settings, pipeline: Pipeline, record: Path) -> None:
    """An image that was built before the function had it, or with another content of it, is stale."""
    changed = stepped(here, pipeline)
    said = "the step clock changed.*penstock image build flights"
    with pytest.raises(KeyMismatch, match=said):
        code.of_image(here, changed)
    own = code.of_checkout(here, changed)
    record.write_text(BuildRecord(**own.model_dump(), image="r/p@sha256:0", revision=None).model_dump_json())
    assert code.of_image(here, changed).steps == own.steps
    (here.steps / "clock/step.py").write_text("changed")
    with pytest.raises(KeyMismatch, match=said):
        code.of_image(here, changed)


def test_where_steps_are_not_here_the_record_tells(here: Settings, pipeline: Pipeline, record: Path) -> None:
    """An Airflow image need not have them."""
    changed = stepped(here, pipeline)
    own = code.of_checkout(here, changed)
    record.write_text(BuildRecord(**own.model_dump(), image="r/p@sha256:0", revision=None).model_dump_json())
    shutil.rmtree(here.steps)
    assert code.of_image(here, changed).steps == own.steps


def test_a_new_schedule_needs_no_new_image(here: Settings, pipeline: Pipeline, record: Path) -> None:
    """What a stage reads of the declaration comes with its request."""
    (here.dags / "flights" / "pipeline.py").write_text("changed")
    code.of_image(here, pipeline)
