"""Who made a package: `function.sig` holds an ed25519 signature of function.json, which holds all other files' digests.

The signature is that of RFC 8032, in base64. Public keys are 32 bytes in base64, between white space; `#` begins a comment.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nacl.signing import VerifyKey

SIGNATURE = "function.sig"
#: The variable whose value is the text of public keys, where no file of them is given.
PUBLIC_KEYS = "PENSTOCK_PUBLIC_KEYS"


def public_keys(text: str) -> tuple[VerifyKey, ...]:
    """The one or more public keys of a text.

    Raises:
        ValueError: there is none, or one is no key; what stands there is not repeated, as it may be a private one.
    """
    from nacl.signing import VerifyKey

    words = [word for line in text.splitlines() for word in line.partition("#")[0].split()]
    if not words:
        raise ValueError("no public key is there, expected one or more, each of 32 bytes in base64")
    keys = []
    for position, word in enumerate(words, 1):
        try:
            keys.append(VerifyKey(base64.b64decode(word, validate=True)))
        except ValueError:
            raise ValueError(
                f"number {position} of the public keys is none, expected 32 bytes in base64"
            ) from None
    return tuple(keys)


def is_signed(data: bytes, signature: bytes, keys: Sequence[VerifyKey]) -> bool:
    """Whether `signature`, in base64, is one of `data` by one of `keys`."""
    from nacl.exceptions import BadSignatureError

    for key in keys:
        try:
            key.verify(data, base64.b64decode(signature.strip(), validate=True))
        except (BadSignatureError, ValueError):  # of another key, or no signature at all
            continue
        return True
    return False
