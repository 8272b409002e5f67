"""Answers questions straight from an MLflow server, in a moment: by MLflow's REST API.

What is not the plain case is left to MLflow: a server that needs more than a name and a password or a token, and an
answer that is no answer.

Source: https://mlflow.org/docs/latest/rest-api.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from penstock.registered import LeftToMLflow, Row

_API: Final = "/api/2.0/mlflow"
#: What is said of the server in the environment, and understood here; MLflow knows more.
_KNOWN: Final = ("URI", "USERNAME", "PASSWORD", "TOKEN")
_OF_SERVER: Final = "MLFLOW_TRACKING_"
_WORKSPACE: Final = "MLFLOW_WORKSPACE"
_PAGE: Final = 1000
_SECONDS: Final = 30.0


class RegistryServer:
    """The server at `uri`. See `penstock.registered.Reader`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")

    def versions(self, name: str) -> list[Row]:
        rows: list[Row] = []
        asked = {"filter": f"name = '{name}'", "max_results": str(_PAGE)}
        while True:
            page = self._get("model-versions/search", asked) or {}
            rows += [_row(each) for each in page.get("model_versions", [])]
            token = page.get("next_page_token")
            if not token:
                return sorted(rows, key=lambda row: row.version, reverse=True)
            asked["page_token"] = token

    def by_alias(self, name: str, alias: str) -> Row | None:
        found = self._get("registered-models/alias", {"name": name, "alias": alias})
        return None if found is None else _row(found.get("model_version"))

    def _get(self, path: str, asked: Mapping[str, str]) -> Mapping[str, Any] | None:
        """The answer; None where the server says that there is no such thing."""
        try:
            told = httpx.get(
                f"{self._uri}{_API}/{path}", params=dict(asked), timeout=_SECONDS, **_credentials()
            )
            answer = told.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise LeftToMLflow(f"{self._uri}: {error}") from error
        if told.is_success and isinstance(answer, dict):
            return answer
        if isinstance(answer, dict) and missing(answer.get("error_code"), answer.get("message")):
            return None
        raise LeftToMLflow(f"{self._uri} answered {told.status_code}")


def missing(code: Any, message: Any) -> bool:
    """Whether an error of MLflow's says that there is no such model, version or alias."""
    # MLflow 3 calls an alias that is not there an invalid parameter.
    return code == "RESOURCE_DOES_NOT_EXIST" or (
        code == "INVALID_PARAMETER_VALUE" and "alias" in str(message).lower()
    )


def _credentials() -> dict[str, Any]:
    """As MLflow takes them: a name and a password before a token. Raises LeftToMLflow where it is told more."""
    said = {
        name.removeprefix(_OF_SERVER): value
        for name, value in os.environ.items()
        if name.startswith(_OF_SERVER)
    }
    elsewhere = _WORKSPACE in os.environ or Path("~/.mlflow/credentials").expanduser().exists()
    if elsewhere or not said.keys() <= set(_KNOWN):
        raise LeftToMLflow("the environment says more of the server than is understood here")
    if said.get("USERNAME") and said.get("PASSWORD"):
        return {"auth": (said["USERNAME"], said["PASSWORD"])}
    if said.get("TOKEN"):
        return {"headers": {"Authorization": f"Bearer {said['TOKEN']}"}}
    return {}


def _row(version: Any) -> Row:
    try:
        tags = {tag["key"]: tag.get("value", "") for tag in version.get("tags", [])}
        return Row(
            int(version["version"]), version.get("run_id") or None, int(version["creation_timestamp"]), tags
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise LeftToMLflow(f"a version that is not known here: {version!r}") from error
