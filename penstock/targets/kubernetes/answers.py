"""What a function answers over HTTP on any platform of Kubernetes."""

from __future__ import annotations

from typing import Any

import httpx

from penstock.targets import TargetError
from penstock.targets.asking import with_faults
from penstock.targets.kubernetes.settings import IMAGE


def told(platform: str, name: str, answer: httpx.Response) -> Any:
    """What a function answered. Raises TargetError with its own words where it is a refusal."""
    try:
        found = answer.json()
    except ValueError:
        why = f"{answer.text[:200]!r} is no JSON"
        if answer.is_success:
            next_step = "see what answers in its place"
            raise TargetError(f"{name} on {platform}: {why}", next_step=next_step) from None
        found = {"error": why}
    if answer.is_success:
        return found
    said = found if isinstance(found, dict) else {}
    why = with_faults(said.get("error", answer.text[:200]), said)
    raise TargetError(f"{name} on {platform}: {answer.status_code}: {why}", status=answer.status_code)


def revision_in(platform: str, name: str, health: httpx.Response) -> str:
    """The revision that an answer to /health says it is. Raises TargetError where it does not."""
    answer = told(platform, name, health)
    revision = answer.get("revision") if isinstance(answer, dict) else None
    if not isinstance(revision, str):
        raise TargetError(
            f"{name} does not say which revision it is",
            next_step=f"see that {IMAGE} is the function image of this release",
        )
    return revision
