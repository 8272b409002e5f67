"""`gateway.toml`: what of which function is open, to whom, and how often."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from penstock import toml_files
from penstock.host.gateway.keys import KEY_NAME, WrittenRate
from penstock.host.loopback import LOOPBACK_NAMES
from penstock.host.manifest import NAME, REVISION

#: What a caller must show: the key of an application, the token of an issuer, or nothing.
Auth = Literal["key", "jwt", "none"]
#: A method, and a page of a function; /v2 with all that is below it.
Call = Literal["POST /predict", "GET /health", "GET /v2", "POST /v2"]

# A segment is of what needs no escape in a URL (RFC 3986, 2.3), and is neither `.` nor `..`.
_SEGMENT = r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
_PATH = f"(/{_SEGMENT})+"
#: The gateway's own pages, below which no route may lie.
PAGES: Final = ("/docs", "/health", "/openapi.json")
_HOST = r"\*|(\*\.)?[A-Za-z0-9.-]+|\[[0-9a-f:]+\]"
_ORIGIN = r"\*|https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?"
# Of RFC 7518 and RFC 8037, without `none`.
_SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})
_Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "HS256", "HS384", "HS512",
]  # fmt: skip


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _matching(pattern: str, expected: str) -> AfterValidator:
    def check(given: str) -> str:
        if not re.fullmatch(pattern, given, re.ASCII):
            raise ValueError(f"expected {expected}")
        return given

    return AfterValidator(check)


def _address(given: str) -> str:
    try:
        return str(ipaddress.ip_address(given))
    except ValueError:
        raise ValueError("expected an IP address such as 127.0.0.1") from None


def _all_different(given: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({each for each in given if given.count(each) > 1}):
        raise ValueError(f"names {', '.join(twice)} twice")
    return given


_Different = AfterValidator(_all_different)
_Text = Annotated[str, Field(min_length=1)]
_Path = Annotated[str, _matching(_PATH, "segments of letters, digits and -._~, such as /v1/delays")]
_Name = Annotated[str, _matching(NAME.pattern, "the name of a function")]
_Revision = Annotated[
    str, _matching(REVISION.pattern, "a revision as `GET /functions/NAME` of the host lists it")
]
_KeyName = Annotated[str, _matching(KEY_NAME.pattern, "names of keys: lower-case letters, digits and -")]
_Origin = Annotated[str, _matching(_ORIGIN, "an origin without a path, such as https://app.example, or *")]
_Host = Annotated[str, _matching(_HOST, "a name such as api.example, *.api.example, or *, without a port")]


class Route(_Table):
    """A function below a path. `revision` pins it; else the live name answers.

    Of a caller `keys` may be the only ones that open it. `limit` is each caller's own on this route. Pages of `origins` may read
    the answers (CORS).
    """

    path: _Path
    function: _Name
    auth: Auth
    revision: _Revision | None = None
    calls: Annotated[tuple[Call, ...], Field(min_length=1), _Different] = ("POST /predict",)
    keys: Annotated[tuple[_KeyName, ...], Field(min_length=1)] | None = None
    limit: WrittenRate | None = None
    origins: Annotated[tuple[_Origin, ...], _Different] = ()

    def opens_to(self, key: str | None) -> bool:
        """Whether it does not keep out who has that key, or is known otherwise."""
        return self.keys is None or key is None or key in self.keys

    @field_validator("path")
    @classmethod
    def _not_a_page(cls, path: str) -> str:
        if any(_within(path, page) for page in PAGES):
            raise ValueError(f"{', '.join(PAGES)} are the gateway's own")
        return path

    @model_validator(mode="after")
    def _keys_are_asked_for(self) -> Self:
        if self.keys is not None and self.auth != "key":
            raise ValueError(f'keys are named, and auth is "{self.auth}": expected "key"')
        return self


class Jwt(_Table):
    """Whose tokens are taken. `keys` is a JWK set (RFC 7517) in a file, by its path from the configuration's own folder."""

    issuer: _Text
    audience: _Text
    algorithms: Annotated[tuple[_Algorithm, ...], Field(min_length=1), _Different]
    keys: _Text

    @field_validator("algorithms")
    @classmethod
    def _of_one_family(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if _SYMMETRIC & set(given) and set(given) - _SYMMETRIC:
            raise ValueError(
                "algorithms with a shared secret (HS…) and with a public key do not stand together: "
                "what is a public key to one would be a secret to the other"
            )
        return given


class Config(_Table):
    """The whole file. `limit` is each caller's over all routes; `docs` is what the description asks for.

    `hosts` are the names that the gateway answers to: those of loopback where it listens there, else any, unless they are given.
    """

    bind: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8794
    hosts: Annotated[tuple[_Host, ...], Field(min_length=1)] | None = None
    limit: WrittenRate | None = None
    docs: Auth = "key"
    jwt: Jwt | None = None
    routes: tuple[Route, ...] = ()

    @model_validator(mode="after")
    def _each_path_is_one_functions(self) -> Self:
        for one, other in itertools.permutations([route.path for route in self.routes], 2):
            if _within(one, other):
                raise ValueError(
                    f"routes: {one} and {other} overlap: expected no path twice, nor below another one"
                )
        return self

    @model_validator(mode="after")
    def _tokens_can_be_judged(self) -> Self:
        if self.jwt is None and "jwt" in (self.docs, *(route.auth for route in self.routes)):
            raise ValueError('auth or docs is "jwt": expected a table [jwt] that says whose tokens are taken')
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the gateway answers to."""
        if self.hosts is not None:
            return self.hosts
        return LOOPBACK_NAMES if ipaddress.ip_address(self.bind).is_loopback else ("*",)


def read(path: Path) -> Config:
    """The configuration in a file. Raises PenstockError: it cannot be read, is no TOML, or is wrong; every fault is named."""
    return toml_files.read(
        path,
        "the gateway's routes",
        lambda said: Config.model_validate(_with_tuples(said)),
        _faults,
        "mend it; docs/gateway.md has all fields",
    )


def _with_tuples(value: Any) -> Any:
    """TOML's arrays as what frozen tables hold."""
    if isinstance(value, dict):
        return {name: _with_tuples(each) for name, each in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _faults(error: ValidationError) -> Iterator[str]:
    """`routes[0].limit: found '60', expected ...`, one for each fault."""
    for fault in error.errors(include_url=False, include_context=False):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
        scalar = isinstance(fault["input"], str | int | float) and fault["type"] != "extra_forbidden"
        found = f"found {fault['input']!r}, " if scalar else ""
        said = re.sub(r"^Value error, ", "", fault["msg"])
        yield f"{place.lstrip('.')}: {found}{said[:1].lower()}{said[1:]}".lstrip(": ")


def _within(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/")
