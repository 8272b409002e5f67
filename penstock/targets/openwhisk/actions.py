"""What OpenWhisk is sent of a function package: actions that never change, each named by what is in it."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock.host.manifest import MANIFEST, Manifest
from penstock.spec.function import SCORE
from penstock.targets import TargetError
from penstock.targets.openwhisk.client import Limits
from penstock.targets.sending import zipped

#: What an action's `main` tells the runtime to be: all of the function, the model among its steps, or one of these.
WHOLE: Final = "main"
MODEL: Final = SCORE
STEP: Final = "steps/"
#: What an action of ours is known again by.
ABOUT: Final = "penstock"
_KIND: Final = "blackbox"
#: The server does not tell this bound of its own: https://github.com/apache/openwhisk/blob/master/docs/reference.md
_MAX_CODE: Final = 48 * 2**20
#: Invocations that a deployment makes itself: to prove a revision, and to see that the live name answers as it.
CALLS: Final = 4
#: Parameters that OpenWhisk or a web action puts in the place of the caller's own.
_TAKEN: Final = ("_actions", "__ow_")


@dataclass(frozen=True)
class Bounds:
    """What an action of ours may have: MB of memory (a runtime of ONNX takes some 100, and the model comes on top), and seconds."""

    memory: int
    seconds: int


USUAL: Final = Bounds(256, 60)


def named(stem: str, *content: Any) -> str:
    """The name of an action whose content is, beside what `stem` says, this JSON.

    No live name has a dot, no step's a dash, and every revision's has one: so the three kinds of actions do not meet.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{stem}.{digest[:12]}"


def step_name(image: str, bounds: Bounds, manifest: Manifest, step: str) -> str:
    """The name of the action of a step, by its files' digests and the image with their libraries."""
    files = {name: digest for name, digest in manifest.files.items() if name.startswith(f"{STEP}{step}/")}
    return named(step, image, bounds.memory, bounds.seconds, files)


def packed(package: Path, only: Collection[str] | None = None) -> tuple[Manifest, str, str]:
    """The manifest and the revision of a package, and its files (or of them `only` some) as OpenWhisk takes code.

    Raises TargetError where it is none, or too large.
    """
    manifest, revision, content = zipped(package, zipfile.ZIP_DEFLATED, only)
    code = base64.b64encode(content).decode()
    if len(code) > _MAX_CODE:
        raise TargetError(
            f"the package has {len(code)} bytes as OpenWhisk takes it, which is over its {_MAX_CODE}",
            next_step="train a smaller model, or put the package into an image of its own",
            status=413,
        )
    return manifest, revision, code


def check(limits: Limits, bounds: Bounds, *, triggers: bool) -> None:
    """Raises TargetError where the server does not grant what a function takes, started by `triggers` or not."""
    lacking = sorted({_KIND, "sequence"} - set(limits.allowedKinds or (_KIND, "sequence")))
    if lacking:
        raise TargetError(
            f"OpenWhisk allows this namespace actions of {', '.join(limits.allowedKinds or ())}, and a function takes "
            f"{' and '.join(lacking)}",
            next_step="have the operator allow it",
        )
    if not limits.storeActivations:
        raise TargetError(
            "OpenWhisk stores no activations of this namespace, by which deploying sees what answers",
            next_step="have the operator store them",
        )
    what: list[tuple[str, int, int | None, int | None]] = [
        ("MB of memory for an action", bounds.memory, limits.minActionMemory, limits.maxActionMemory),
        ("ms for an action", bounds.seconds * 1000, limits.minActionTimeout, limits.maxActionTimeout),
        ("invocations a minute", CALLS, None, limits.invocationsPerMinute),
        ("invocations at once", 1, None, limits.concurrentInvocations),
        ("fires of triggers a minute", int(triggers), None, limits.firesPerMinute),
    ]
    for name, wanted, least, most in what:
        if wanted < (least or 0) or (most is not None and wanted > most):
            granted = f"at most {most}" if most is not None and wanted > most else f"at least {least}"
            raise TargetError(
                f"OpenWhisk grants {granted} {name}, and a function takes {wanted}",
                next_step="have the operator change the limit, or see PENSTOCK_OPENWHISK_MEMORY and PENSTOCK_OPENWHISK_SECONDS",
            )


def action(bounds: Bounds, image: str, code: str, main: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """The action that runs a package."""
    return {
        "exec": {"kind": _KIND, "image": image, "code": code, "binary": True, "main": main},
        "limits": {"memory": bounds.memory, "timeout": bounds.seconds * 1000},
        "annotations": [{"key": ABOUT, "value": about}, {"key": "provide-api-key", "value": False}],
    }


def check_columns(package: Path) -> None:
    """Refuse columns whose values would not come through. Raises TargetError."""
    try:
        columns = [field["name"] for field in json.loads((package / MANIFEST).read_bytes())["inputs"]]
    except (ValueError, LookupError, TypeError) as error:
        raise TargetError(
            f"the inputs in {package / MANIFEST} cannot be read: {error}",
            next_step="build it again with `register`",
        ) from error
    for column in columns:
        if column.startswith(_TAKEN):
            raise TargetError(
                f"the column {column} would not reach the model: OpenWhisk uses parameters of that name itself",
                next_step="rename it in features()",
            )


def annotation(entity: Mapping[str, Any], key: str) -> Any:
    """The value of an annotation; None where there is none."""
    return next((each["value"] for each in entity.get("annotations") or () if each["key"] == key), None)


def about(entity: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an entity of ours says of itself; nothing where it is not ours."""
    found = annotation(entity, ABOUT)
    return found if isinstance(found, dict) else {}
