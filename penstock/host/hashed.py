"""Secrets of callers, of which their hashes alone are kept.

A secret is 32 random bytes, which nobody finds by trying: a slow hash, made for passwords, would guard it no better and cost every
request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets


def new_secret() -> str:
    """A secret that nobody has yet."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is kept of it: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


#: What the secret of nobody is compared with: an unknown name takes as long as a wrong secret.
_NOBODY = digest("nobody")


def is_secret(given: str, kept: str | None) -> bool:
    """Whether it is the secret of which that is kept, compared in constant time; of nobody (None) none is."""
    expected = _NOBODY if kept is None else kept
    return hmac.compare_digest(digest(given), expected) and kept is not None
