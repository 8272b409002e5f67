"""Who we are to a registry: what Docker's own configuration says of it, which is read here and never shown.

https://docs.docker.com/reference/cli/docker/login/#credential-stores
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from penstock import programs
from penstock.errors import PenstockError
from penstock.targets import TargetError

#: The configuration itself, where no file can be mounted; Docker reads the same variable.
AUTH_CONFIG: Final = "DOCKER_AUTH_CONFIG"
#: The folder that its file is in.
CONFIG: Final = "DOCKER_CONFIG"
#: What Docker calls its own registry there.
_HUB: Final = "https://index.docker.io/v1/"
#: In the place of a name: the secret is a token that stands for the account.
_TOKEN: Final = "<token>"  # noqa: S105
_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Login:
    """A name and its password, or in its place a token of the account."""

    name: str
    secret: str = field(repr=False)

    @property
    def is_token(self) -> bool:
        return self.name == _TOKEN


def find(host: str) -> Login | None:
    """How to log in to a registry; None where nothing is said of it. Raises TargetError where that cannot be read."""
    where, config = _config()
    try:
        helper = config.get("credHelpers", {}).get(host) or config.get("credsStore")
        names = (_HUB,) if host == "docker.io" else (host, f"https://{host}", f"https://{host}/v1/")
        if helper:
            return _ask(str(helper), names[0])
        entry = next((config["auths"][name] for name in names if name in config.get("auths", {})), None)
        return None if entry is None else _login(entry)
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise TargetError(  # not the error's own words: they may show what is in it
            f"{where} is no configuration of Docker's for {host}: {type(error).__name__}",
            next_step=f"make it anew: docker login {host}",
        ) from None


def _config() -> tuple[str, Mapping[str, Any]]:
    """Where the configuration is, and what it says."""
    if given := os.environ.get(AUTH_CONFIG):
        where, text = AUTH_CONFIG, given
    else:
        path = Path(os.environ.get(CONFIG) or Path.home() / ".docker") / "config.json"
        where = str(path)
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return where, {}
        except (OSError, UnicodeDecodeError) as error:
            raise TargetError(
                f"{where} cannot be read: {type(error).__name__}", next_step=f"see {CONFIG}"
            ) from None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise TargetError(f"{where} is no JSON object", next_step="make it anew: docker login")
    return where, found


def _login(entry: Mapping[str, Any]) -> Login | None:
    if token := entry.get("identitytoken"):
        return Login(_TOKEN, token)
    if packed := entry.get("auth"):
        name, _, secret = base64.b64decode(packed, validate=True).decode().partition(":")
        return Login(name, secret)
    if "username" in entry:
        return Login(entry["username"], entry["password"])
    return None


def _ask(helper: str, name: str) -> Login | None:
    """What a credential helper knows: https://github.com/docker/docker-credential-helpers."""
    next_step = "install it, or log in without it"
    try:
        program = programs.find(f"docker-credential-{helper}", next_step=next_step)
    except PenstockError as error:
        raise TargetError(error.message, next_step=error.next_step) from error
    try:
        ran = subprocess.run(
            [program, "get"], input=name, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise TargetError(
            f"docker-credential-{helper} gave no answer within {_SECONDS:g} s", next_step=next_step
        ) from None
    if ran.returncode == 0:
        found = json.loads(ran.stdout)
        return Login(found["Username"], found["Secret"])
    if "credentials not found" in ran.stdout:
        return None
    raise TargetError(
        f"docker-credential-{helper} has no login for {name}: it ended with {ran.returncode}",
        next_step=f"try it by hand: echo {name} | docker-credential-{helper} get",
    )
