"""What the tests of register share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeMlflow
from tests.jobs.registering import Project


@pytest.fixture
def project(tmp_path: Path, trained_store: Path, make_mlflow: MakeMlflow) -> Project:
    """An installation of the test's own, models trained, nothing registered."""
    return Project.make(tmp_path, trained_store, make_mlflow)
