"""One description of all routes: sound whatever the functions say of themselves, and asked of each revision once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from penstock.host.errors import HostError
from penstock.host.functions import Functions
from penstock.host.gateway.config import Config
from penstock.host.gateway.description import Described, Descriptions, describe
from penstock.host.proxy import Proxy
from penstock.host.state import StateFolder

REVISION = "v1-0123456789ab"


def own(column: str) -> dict[str, Any]:
    """What a function of one column says of itself, cut short."""
    record = {"$ref": "#/components/schemas/Record"}
    body = {
        "content": {"application/json": {"schema": {"anyOf": [record, {"type": "array", "items": record}]}}}
    }
    return {
        "info": {"title": column, "version": "7", "description": f"By {column}."},
        "paths": {
            "/predict": {
                "post": {
                    "summary": "Score",
                    "requestBody": body,
                    "responses": {"200": {"description": "It."}},
                }
            }
        },
        "components": {
            "schemas": {"Record": {"type": "object", "properties": {column: {}, "$ref": {"type": "number"}}}}
        },
    }


def config(*routes: dict[str, Any], **more: Any) -> Config:
    return Config.model_validate({"routes": tuple({"auth": "key", **route} for route in routes), **more})


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        value = list(value.values())
    for each in value if isinstance(value, list) else []:
        yield from references(each)


def test_functions_do_not_mix() -> None:
    """Of two functions whose parts are named alike each keeps its own; every reference leads somewhere."""
    declared = config(
        {"path": "/v1/delays", "function": "delays", "revision": REVISION},
        {"path": "/v2/delays", "function": "delays"},
        {"path": "/fares", "function": "fares", "auth": "none"},
    )
    said = [Described(own(column)) for column in ("distance", "carrier", "weight")]
    document = describe(declared, list(zip(declared.routes, said, strict=True)))
    schemas = document["components"]["schemas"]
    for path, column in (("/v1/delays", "distance"), ("/v2/delays", "carrier"), ("/fares", "weight")):
        operation = document["paths"][f"{path}/predict"]["post"]
        first = next(references(operation["requestBody"])).rpartition("/")[2]
        assert set(schemas[first]["properties"]) == {column, "$ref"}
    assert {reference.rpartition("/")[2] for reference in references(document)} <= set(schemas)


def test_what_a_caller_needs() -> None:
    """Keys, tokens or nothing, and the refusals that each may get; limits where there are some."""
    jwt = {"issuer": "a", "audience": "b", "algorithms": ("RS256",), "keys": "jwks.json"}
    declared = config(
        {"path": "/key", "function": "delays", "keys": ("mobile",), "limit": "5/minute"},
        {"path": "/jwt", "function": "delays", "auth": "jwt", "calls": ("GET /v2", "POST /v2")},
        {"path": "/none", "function": "delays", "auth": "none", "calls": ("GET /health",)},
        jwt=jwt,
    )
    document = describe(declared, [(route, Described(None, "It is down.")) for route in declared.routes])
    needed = {
        path: (method, operation["security"], set(operation["responses"]) & {"401", "403", "429"})
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert needed == {
        "/key/predict": ("post", [{"key": []}], {"401", "403", "429"}),
        "/jwt/v2": ("get", [{"jwt": []}], {"401"}),
        "/jwt/v2/models/delays/infer": ("post", [{"jwt": []}], {"401"}),
        "/none/health": ("get", [], set()),
    }
    assert set(document["components"]["securitySchemes"]) == {"key", "jwt"}
    assert (
        document["tags"][0]["description"]
        == "The function delays, what is live. It is down. Limit of each caller: 5/minute."
    )


class Asked:
    """What descriptions need of functions and proxy: counts how often each is asked, and answers as it is told."""

    def __init__(self, **answers: Response | HostError) -> None:
        self.answers = answers
        self.count = 0

    def live(self, name: str) -> str | None:
        return REVISION if name in self.answers else None

    async def forward(self, name: str, path: str, request: Request, revision: str | None) -> Response:
        assert (path, request.method, await request.body()) == ("openapi.json", "GET", b"")
        self.count += 1
        answer = self.answers.get(name) or HostError(404, f"there is no function {name}")
        if isinstance(answer, HostError):
            raise answer
        answer.headers["x-penstock-revision"] = REVISION
        return answer


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    """With a folder of each function that there is."""
    found = StateFolder(tmp_path)
    found.open()
    for name in ("delays", "fares", "plain"):
        (tmp_path / "functions" / name).mkdir()
    return found


def test_each_revision_is_asked_once(state: StateFolder) -> None:
    """By the next host neither; one that cannot answer just now, or is not there, is asked again and keeps no other away."""
    asked = Asked(
        delays=Response(json.dumps(own("distance"))),
        plain=Response("nothing at this path", 404),
        fares=HostError(503, "fares is backoff: secret reason"),
    )
    declared = config(
        *({"path": f"/{name}", "function": name} for name in ("delays", "plain", "fares", "gone"))
    )

    def described() -> list[Described]:
        descriptions = Descriptions(state, cast(Functions, asked), cast(Proxy, asked))
        return [said for _, said in asyncio.run(descriptions.of(declared.routes))]

    first = described()
    assert asked.count == 4
    assert first[0].document == own("distance")
    assert [said.why for said in first[1:]] == [
        "It has no description of its own.",
        "It does not answer now (503).",
        "It does not answer now (404).",
    ]
    assert described() == first
    assert asked.count == 6
    assert not (state.root / "functions" / "gone").exists()
