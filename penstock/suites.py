"""A pipeline's suites of expectations: one file a source, found by its name.

A file that nobody reads, or a folder that is not there, would let data pass unseen: it is said before a run starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from penstock.findings import Finding
from penstock.results import GateResult


def path(expectations: Path, suites: str, source: str) -> Path:
    """Where the suite of a source lies, whether it is there or not."""
    return expectations / suites / f"{source}.json"


def misplaced(pipeline: str, suites: str, sources: Iterable[str], expectations: Path) -> Iterator[Finding]:
    """A named folder (`suites`) that is not there, and suites that are no source's.

    In the pipeline's own folder such a suite is an error. A folder of another name is shared, and others may read it.
    """
    folder, names = expectations / suites, sorted(sources)
    if suites != pipeline and not folder.is_dir():
        known = ", ".join(sorted(each.name for each in expectations.glob("*/"))) or "none"
        yield Finding(
            severity="error",
            where=f"expectations/{suites}",
            message=f"the pipeline names this folder of suites, which is not there; folders here: {known}",
            next_step="correct expectations= in the pipeline's spec, or make the folder",
        )
    for each in sorted(folder.glob("*.json")):
        if each.stem not in names:
            yield Finding(
                severity="error" if suites == pipeline else "warning",
                where=f"expectations/{suites}/{each.name}",
                message=f"no source is called {each.stem!r}, so nobody reads it; sources: {', '.join(names)}",
                next_step="name the file after a source, or remove it",
            )


def unasked(source: str, where: str) -> GateResult:
    """The data gate of a source that has no suite: nothing is asked of it, and the run shows it."""
    return GateResult(
        name="data",
        passed=True,
        off=True,
        observed="no suite",
        required="a suite of expectations",
        why=f"there is no suite for source {source}: whatever it holds passes",
        next_step=f"write {where}",
    )
