"""How a revision proves itself on OpenWhisk, before the live name moves to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from penstock.targets.openwhisk.client import OpenWhisk

#: By this the runtime knows what one component of a sequence passes to the next (penstock_function.components).
_PASSED: Final = "__penstock"
#: No records at all: it goes through a sequence, and a function in one process refuses it, both in the runtime's own words; the
#: runtime has proved its package when it was initialised.
NOTHING: Final[Mapping[str, Any]] = {_PASSED: {"records": [], "made": []}}
#: Asks a revision whose steps are actions of their own for requests like its samples, and what one process answers them.
_SAMPLES: Final[Mapping[str, Any]] = {_PASSED: "samples"}


def fault_alone(server: OpenWhisk, action: str) -> str | None:
    """Why the action of a whole function (`package/name`) is none that answers; None where it is one. Raises TargetError."""
    asked = server.invoke(action, NOTHING)
    return None if asked.answered else asked.error


def fault_in_sequence(
    server: OpenWhisk, action: str, proof: str, sequence: Mapping[str, Any], tolerance: float
) -> str | None:
    """As `fault_alone`, of a model among steps: requests go through `sequence`, which is the action `proof` meanwhile, and must
    be answered as the runtime of the model answers them alone, but for numbers within `tolerance`. Raises TargetError.
    """
    asked = server.invoke(action, _SAMPLES)
    if not asked.succeeded:
        return asked.error
    try:
        records, expected = (asked.result[_PASSED][name] for name in ("records", "predictions"))
    except (KeyError, TypeError):
        return f"asked for requests like its samples it answers {asked.result!r:.500}"
    server.put("actions", proof, sequence)
    try:
        answered = server.invoke(proof, {"records": records} if records else NOTHING)
    finally:
        server.delete("actions", proof)
    if not answered.succeeded:
        return answered.error
    found = answered.result.get("predictions") if isinstance(answered.result, dict) else answered.result
    if not _alike(found, expected, tolerance):
        return f"the sequence answers {found!r:.500}, expected as in one process {expected!r:.500}"
    return None


def _alike(found: Any, expected: Any, tolerance: float) -> bool:
    """Whether an answer is another one but for its numbers' last digits."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(_alike(found[name], value, tolerance) for name, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(_alike(*each, tolerance) for each in zip(found, expected, strict=True))
        )
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance)
    return bool(found == expected)
