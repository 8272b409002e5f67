"""What the tests of the command line share: a way to run `penstock` in a project of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from penstock.cli.main import main
from penstock.settings import Settings


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit status and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def answer(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)


Penstock = Callable[..., Ran]


@pytest.fixture
def penstock(project: Settings, capfd: pytest.CaptureFixture[str]) -> Penstock:
    """Runs one command line in the project, in this process."""

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capfd.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    return run
