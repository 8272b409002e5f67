"""Who sends a request: known by the key of an application, by the token of an issuer, or by the address alone."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from penstock.host.gateway.config import Auth
from penstock.host.gateway.keys import Keys
from penstock.host.gateway.rates import Rate
from penstock.host.gateway.refusals import Refused
from penstock.host.gateway.tokens import Tokens

#: The header of a key.
KEY_HEADER: Final = "x-api-key"


@dataclass(frozen=True)
class Caller:
    """`name` begins with how it is known: `key:`, `jwt:` or `address:`. `limit` is its own, where it has one."""

    name: str
    limit: Rate | None = None

    @property
    def key(self) -> str | None:
        """The name of its key."""
        how, _, name = self.name.partition(":")
        return name if how == "key" else None


class Callers:
    """Tells callers apart by their keys and tokens; `tokens` is None where none are taken."""

    def __init__(self, keys: Keys, tokens: Tokens | None) -> None:
        self._keys = keys
        self._tokens = tokens

    def identify(self, auth: Auth, request: Request) -> Caller:
        """Whoever sends the request, as `auth` has it. Raises Refused (401)."""
        if auth == "key":
            return self._by_key(request)
        if auth == "jwt":
            return self._by_token(request)
        return Caller(f"address:{_network(request)}")

    def _by_key(self, request: Request) -> Caller:
        given = request.headers.getlist(KEY_HEADER)
        key = self._keys.owner(given[0]) if len(given) == 1 else None
        if key is None:
            raise Refused(
                401,
                "the key is missing or wrong",
                next_step=f"send your key in the header {KEY_HEADER}",
                headers={"WWW-Authenticate": f'ApiKey header="{KEY_HEADER}"'},
            )
        return Caller(f"key:{key.name}", key.limit)

    def _by_token(self, request: Request) -> Caller:
        given = request.headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        subject = self._tokens.subject(token.strip()) if self._tokens and scheme.lower() == "bearer" else None
        if subject is None:
            raise Refused(
                401,
                "the token is missing, has expired, or is not one that is taken here",
                next_step="send `Authorization: Bearer <token>` with a token of the issuer for this audience",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},  # RFC 6750
            )
        return Caller(f"jwt:{subject}")


def _network(request: Request) -> str:
    """The address; of IPv6 the /64, of which one caller has all."""
    given = request.client.host if request.client else "unknown"
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        return given
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else given
