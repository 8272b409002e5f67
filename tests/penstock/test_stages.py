"""What a stage's key rests on: all of the code that makes its output."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from penstock.stages import CHAIN, Stage, code_digest

ROOT = Path(__file__).parents[2]
#: What jobs only pass through: how they are asked, where they write, how they fail. None of it makes the output.
PLUMBING = {
    "penstock", "penstock.durable", "penstock.errors", "penstock.host.limits", "penstock.host.process", "penstock.intervals", "penstock.java", "penstock.keys", "penstock.launch",
    "penstock.promotion", "penstock.redaction",
    "penstock.registry", "penstock.requirements", "penstock.results", "penstock.runtimes", "penstock.settings", "penstock.signatures", "penstock.spec.function", "penstock.spec.metrics",
    "penstock.spec.sources", "penstock.stages", "penstock.steps", "penstock.store", "penstock.targets", "penstock.work",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """The modules of the core that a file or folder imports, at its top or later."""
    found = set()
    for file in [path] if path.is_file() else path.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "penstock":
                submodules = {f"{node.module}.{alias.name}" for alias in node.names}
                known = {name for name in submodules if (ROOT / (name.replace(".", "/") + ".py")).is_file()}
                found |= known or {node.module}
    return found


@pytest.mark.parametrize("stage", CHAIN, ids=lambda stage: stage.name)
def test_the_code_of_the_core_that_makes_an_output_is_in_its_key(stage: Stage) -> None:
    """Whatever a stage's code imports of the core is part of the stage's code, or plumbing."""
    found = {module for path in stage.code if path.startswith("jobs/") for module in imports(ROOT / path)}
    counted = {path.removesuffix(".py").replace("/", ".") for path in stage.code}
    assert found - counted <= PLUMBING


@pytest.mark.parametrize("stage", CHAIN, ids=lambda stage: stage.name)
def test_every_path_is_there_and_counts(stage: Stage, tmp_path: Path) -> None:
    """A change in any file or folder that a stage names changes its digest."""
    for path in stage.code:
        assert (ROOT / path).exists()
        file = tmp_path / path if path.endswith(".py") else tmp_path / path / "code.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("one")
    before = code_digest(tmp_path, stage.name)
    for path in stage.code:
        file = tmp_path / path if path.endswith(".py") else tmp_path / path / "code.py"
        file.write_text("two")
        assert code_digest(tmp_path, stage.name) != before
        file.write_text("one")
    assert code_digest(tmp_path, stage.name) == before
