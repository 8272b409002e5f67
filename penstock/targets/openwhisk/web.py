"""A live name as a web action: who has its secret asks it over HTTP, without a key of the namespace.

The secret is generated, and kept by OpenWhisk alone, in the annotation that it checks callers by: whoever holds the key of the
namespace reads it there. https://github.com/apache/openwhisk/blob/master/docs/webactions.md
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from penstock.targets.openwhisk.actions import annotation

_EXPORT: Final = "web-export"
_SECRET: Final = "require-whisk-auth"  # noqa: S105 (the name of it)


def exported(live: Mapping[str, Any] | None) -> bool:
    """Whether a live name is asked as a web action."""
    return live is not None and annotation(live, _EXPORT) is True


def secured(live: Mapping[str, Any] | None) -> bool:
    """Whether it is, by those alone who have its secret."""
    return exported(live) and isinstance(annotation(live or {}, _SECRET), str)


def opened(live: Mapping[str, Any] | None) -> dict[str, Any]:
    """What makes a live name a web action, together with its secret, which is the one that it has if it has any."""
    kept = annotation(live or {}, _SECRET)
    secret = kept if isinstance(kept, str) else secrets.token_urlsafe(32)
    return {"annotations": [{"key": _EXPORT, "value": True}, {"key": _SECRET, "value": secret}]}


#: What makes it none any more, and takes the secret away: annotations that a request leaves out stay.
CLOSED: Final[Mapping[str, Any]] = {
    "annotations": [{"key": _EXPORT, "value": False}],
    "delAnnotations": [_SECRET],
}
