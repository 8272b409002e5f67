"""How every target asks over HTTP: again while that may help, and for objects."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from penstock.targets import TargetError

_POLL_SECONDS: Final = 0.3


def tries(seconds: float, pause: float) -> Iterator[bool]:
    """Tries for so long, with longer and longer pauses of `pause` to 5 seconds; True with the last one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() + pause < deadline:
        yield False
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (those who collided must not do so again)
        pause = min(pause * 2, 5.0)
    yield True


def polls(seconds: float) -> Iterator[None]:
    """Looks at what another does, until the time is over, with a pause after each."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(_POLL_SECONDS)


def crowded(what: str) -> TargetError:
    """What is said where every try to write it came too late."""
    return TargetError(f"others write {what} all the time", next_step="run again")


def object_in(answer: httpx.Response) -> dict[str, Any] | None:
    """The JSON object that an answer is; None where it is none."""
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def with_faults(what: object, said: Mapping[str, Any]) -> str:
    """What a refusal says, with the faults of a record that it names."""
    return f"{what} {said['faults']}" if said.get("faults") else str(what)
