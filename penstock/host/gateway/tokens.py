"""The tokens of callers: JSON Web Tokens (RFC 7519) of one issuer, by algorithms and keys that the configuration names.

What RFC 8725 asks of who takes them: the algorithm is never the token's choice, a key is for one algorithm's family, and issuer,
audience and time are checked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import jwt

from penstock.errors import PenstockError
from penstock.host.gateway.config import Jwt

#: Clocks of two machines may differ by so much.
_LEEWAY_SECONDS: Final = 30.0
_REQUIRED: Final = ["exp", "iss", "aud", "sub"]
#: What a key is that fits an algorithm, or all that begin alike (RFC 7518, 6.1; RFC 8037, 2).
_KINDS: Final[dict[str, dict[str, str]]] = {
    "HS": {"kty": "oct"},
    "RS": {"kty": "RSA"},
    "PS": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "ES384": {"kty": "EC", "crv": "P-384"},
    "ES512": {"kty": "EC", "crv": "P-521"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}


class Tokens:
    """Takes tokens as `declared`; a relative path of its keys begins in `folder`.

    Raises PenstockError where the file of keys cannot be read, or has none that is fit.
    """

    def __init__(self, declared: Jwt, folder: Path) -> None:
        self._declared = declared
        self._keys = _read(folder / declared.keys, declared)

    def subject(self, token: str) -> str | None:
        """Whose token it is (`sub`); None where it is not to be taken."""
        declared = self._declared
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header.get("kid"), header.get("alg"))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key=key,
                algorithms=list(declared.algorithms),
                issuer=declared.issuer,
                audience=declared.audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except (jwt.PyJWTError, RecursionError):  # the latter where its JSON is nested without end
            return None
        return str(claims["sub"])

    def _key(self, kid: object, algorithm: object) -> Any:
        """The key that the token names, or the only one, where it is for the token's algorithm; None where there is no such one."""
        if algorithm not in self._declared.algorithms:
            return None
        found = next(iter(self._keys.values())) if kid is None and len(self._keys) == 1 else None
        if isinstance(kid, str):
            found = self._keys.get(kid)
        return found.get(str(algorithm)) if found is not None else None


def _read(path: Path, declared: Jwt) -> dict[str | None, dict[str, Any]]:
    """Of each key, by its id, what it is to each algorithm that it is for."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))["keys"]
        keys = [(entry.get("kid"), _forms(entry, declared)) for entry in given if entry.get("use") != "enc"]
    except OSError as error:
        raise PenstockError(
            f"the keys of tokens in {path} cannot be read: {error.strerror}", next_step="correct jwt.keys"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise PenstockError(
            f"{path} is no JWK set: {error}", next_step='expected {"keys": [...]} as RFC 7517 has it'
        ) from error
    fit = [(kid, forms) for kid, forms in keys if forms]
    by_id = dict(fit)
    if not fit or len(by_id) < len(fit) or (None in by_id and len(by_id) > 1):
        raise PenstockError(
            f"{path}: expected a key for {', '.join(declared.algorithms)}, and of each a `kid` of its own where there are more",
            next_step="take the set that the issuer publishes",
        )
    return by_id


def _forms(entry: dict[str, Any], declared: Jwt) -> dict[str, Any]:
    """The key as each of the algorithms takes it that it is for. Raises ValueError for one that is too short to be safe."""
    forms: dict[str, Any] = {}
    for algorithm in declared.algorithms:
        kind = _KINDS.get(algorithm) or _KINDS[algorithm[:2]]
        if kind.items() <= entry.items() and entry.get("alg", algorithm) == algorithm:
            form = jwt.PyJWK(entry, algorithm)
            if weak := form.Algorithm.check_key_length(form.key):
                raise ValueError(weak)
            forms[algorithm] = form
    return forms
