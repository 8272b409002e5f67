"""Passwords stay out of messages and logs, whatever a driver or server put into its error."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"
#: `scheme://user:password@host`: everything between the user and the at sign.
_USERINFO = re.compile(r"(?<=://)([^/@\s:]*):[^/\s]*@")
#: `?sig=…&token=…`: the values of query fields whose name speaks of a secret.
_FIELDS = re.compile(r"([?&][^=&\s]*(?:pass|pwd|secret|token|sig|key|credential)[^=&\s]*=)[^&\s'\"]+", re.I)


def redact(text: str, *secrets: str | None) -> str:
    """`text` without the passwords of URLs, secret-looking query fields, and each of `secrets`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN).replace(unquote(secret), HIDDEN)
    text = _USERINFO.sub(rf"\1:{HIDDEN}@", text)
    return _FIELDS.sub(rf"\1{HIDDEN}", text)
