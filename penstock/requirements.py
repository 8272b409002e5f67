"""A pipeline's own libraries: `dags/PIPELINE/requirements.txt`, a lock beside the job room's; and a step's, beside the function's.

It is what `uv pip compile` or `pip-compile` writes: each library with its version and its digests, so that whoever
installs it gets the same. The folder's digest holds it, so another version is another key.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from penstock import programs
from penstock.errors import SpecError

#: Its name in a pipeline's folder.
FILE: Final = "requirements.txt"


@dataclass(frozen=True)
class Pinned:
    """One library of a lock: its normal name, its version, and the line of the lock, digests and all."""

    name: str
    version: str
    line: str


def read(lock: Path) -> list[Pinned]:
    """The libraries of a lock that this Python on this system takes; none where there is no such file.

    Raises SpecError with every line that is not `name==version --hash=...`.
    """
    if not lock.is_file():
        return []
    # A line goes on where it ends in a backslash; a comment goes to the end of its line.
    text = "\n".join(line.partition(" #")[0] for line in lock.read_text(encoding="utf-8").splitlines())
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    found, faults = [], []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        wanted, _, digests = line.partition(" --hash=")
        try:
            asked = Requirement(wanted)
        except InvalidRequirement:
            faults.append(line)
            continue
        pins = [each.version for each in asked.specifier if each.operator == "=="]
        if len(pins) != 1 or not digests:
            faults.append(wanted.strip())
        elif asked.marker is None or asked.marker.evaluate():
            found.append(Pinned(canonicalize_name(asked.name), pins[0], line))
    if faults:
        raise SpecError(
            f"{_shown(lock)} is no lock: expected name==version with --hash, found {'; '.join(faults)}",
            next_step=f"write what you need in a requirements.in, then: uv pip compile {_shown(lock.with_suffix('.in'))} "
            f"-c images/job/requirements.txt --generate-hashes -o {_shown(lock)}",
        )
    return found


def beyond(lock: Path, *others: Path) -> list[Pinned]:
    """What a lock has that none of the others has: what must be added to an image that is made by those.

    Raises SpecError as above, and where it has another version of a library than one of them.
    """
    there = {each.name: (each.version, other) for other in others for each in read(other)}
    wanted = read(lock)
    clashes = [
        f"{each.name} {each.version} ({there[each.name][0]} in {_shown(there[each.name][1])})"
        for each in wanted
        if each.name in there and there[each.name][0] != each.version
    ]
    if clashes:
        raise SpecError(
            f"{_shown(lock)} has other versions than what it adds to: {', '.join(clashes)}",
            next_step=f"resolve it with {' '.join(f'-c {_shown(other)}' for other in others)}",
        )
    return [each for each in wanted if each.name not in there]


def added(locks: Sequence[Path], below: Path) -> list[Pinned]:
    """What several locks add to one, each library once. Raises SpecError as above, also where two of them differ."""
    return [each for number, lock in enumerate(locks) for each in beyond(lock, below, *locks[:number])]


def missing(lock: Path) -> list[str]:
    """What of a lock the Python that runs now has not, each as `name version (here: version)`."""
    return [
        f"{each.name} {each.version} (here: {have or 'none'})"
        for each in read(lock)
        if (have := _version(each.name)) != each.version
    ]


def absent(lock: Path) -> list[Pinned]:
    """What of a lock the Python that runs now has in no version at all. Raises SpecError as `read` does."""
    return [each for each in read(lock) if _version(each.name) is None]


def command(lock: Path, site: Path, *options: str | Path) -> list[str | Path]:
    """The command by which uv puts the libraries of a lock into the folder `site`, each checked by its digest.

    Raises PenstockError where uv is not there.
    """
    uv = programs.find("uv", next_step="install it where this runs: pip install uv")
    return [
        uv, "pip", "install", "--quiet", "--require-hashes", "--target", site, "--python", sys.executable,
        "--python-version", "{}.{}".format(*sys.version_info[:2]), "--link-mode", "copy", *options, "-r", lock,
    ]  # fmt: skip


def install(lock: Path) -> str:
    """What a person types to have it all here, or in containers."""
    here = f".venv/bin/uv pip install --python .venv -r {_shown(lock)}"
    return f"{here}; for docker-compose.yml: penstock image machine"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _shown(lock: Path) -> str:
    """A path as people know it: below the project."""
    return "/".join(lock.parts[-3:])
