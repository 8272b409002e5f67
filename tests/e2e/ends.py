"""The scaffold's pipeline, and how a run of it ended, in all that must not rest on what disturbed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from penstock.registry import CHALLENGER, CHAMPION, PROMOTED_AT, REGISTER_PATH, VERDICT_PATH, Registry
from tests.e2e.conftest import Project

PIPELINE = "parcels_late"
#: What its function is asked.
ROW = {"carrier": "swift", "express": "true", "distance_km": 152.0, "weight_kg": None}
NOTHING_REGISTERED: dict[str, Any] = {"aliases": {CHAMPION: None, CHALLENGER: None}, "tags": {}}


def scaffold(project: Project) -> None:
    """Make the pipeline, with a short search over short fits: the tests are about the way, not about the best model."""
    project.penstock("init", PIPELINE)
    folder = project.root / "dags" / PIPELINE
    change(folder / "pipeline.py", "trials=4", "trials=2")
    change(folder / "model.py", "maxIter=30", "maxIter=12")


def change(file: Path, old: str, new: str) -> None:
    """Replace what stands in a file, once."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def end_of(project: Project, answer: dict[str, Any]) -> dict[str, Any]:
    """State, keys, versions with their tags, aliases, revisions and the function's answer, after `penstock run`."""
    return {
        "state": answer["state"],
        "version": answer["version"],
        "keys": _keys(answer),
        **registered(project),
        "revisions": len(revisions(project)),
        "answer": project.penstock("invoke", PIPELINE, "--data", json.dumps(ROW)),
    }


def registered(project: Project) -> dict[str, Any]:
    """Versions with their tags (of a path without who attempted it, of a time only that it is there), and aliases."""
    database = project.var / "mlflow" / "mlflow.db"
    if not database.is_file():
        return NOTHING_REGISTERED
    registry = Registry(f"sqlite:///{database}")
    same = {PROMOTED_AT: lambda value: "then", REGISTER_PATH: _attempted, VERDICT_PATH: _attempted}
    aliases = {alias: registry.by_alias(PIPELINE, alias) for alias in (CHAMPION, CHALLENGER)}
    return {
        "aliases": {alias: version.version if version else None for alias, version in aliases.items()},
        "tags": {
            version.version: {tag: same.get(tag, str)(value) for tag, value in version.tags.items()}
            for version in registry.versions(PIPELINE)
        },
    }


def revisions(project: Project) -> list[str]:
    """The revisions that the function host holds."""
    folder = project.var / "host/functions" / PIPELINE / "revisions"
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _keys(answer: dict[str, Any]) -> dict[str, list[str]]:
    """Stage to keys, from where they rest on content: collect's rest on where and when its files were written."""
    return {
        stage["name"]: stage["key"]
        for stage in answer["stages"]
        if not stage["name"].startswith(("collect", "deploy"))
    }


def _attempted(path: str) -> str:
    return path.rpartition("/")[0]
