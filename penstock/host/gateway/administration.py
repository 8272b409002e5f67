"""What the host's own API has of its gateway: keys, and reading the configuration again. Only for who has the host's token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from penstock.host.errors import HostError
from penstock.host.gateway.app import Gateway
from penstock.host.gateway.keys import KEY_NAME, WrittenRate
from penstock.host.limits import Limits
from penstock.host.upload import read_body

_Handler = Callable[[Request], Awaitable[Response]]


class _Wanted(BaseModel):
    """Body of `PUT /gateway/keys/{name}`."""

    model_config = ConfigDict(extra="forbid")

    limit: WrittenRate | None = None


class Administration:
    """Changes the gateway, where the host has one."""

    def __init__(self, gateway: Gateway | None, limits: Limits) -> None:
        self._gateway = gateway
        self._limits = limits

    def calls(self) -> list[tuple[str, str, _Handler]]:
        """Method, path and handler of each call; whoever serves them sees to the token."""
        return [
            ("GET", "/gateway/keys", self._keys),
            ("PUT", "/gateway/keys/{name}", self._create),
            ("DELETE", "/gateway/keys/{name}", self._revoke),
            ("POST", "/gateway/reload", self._reload),
        ]

    @property
    def _there(self) -> Gateway:
        if self._gateway is None:
            raise HostError(
                404, "this host has no gateway", next_step="start it with --gateway FILE (docs/gateway.md)"
            )
        return self._gateway

    async def _keys(self, request: Request) -> Response:
        shown: list[Any] = [key.model_dump(mode="json", exclude={"sha256"}) for key in self._there.keys.all()]
        return JSONResponse({"keys": shown})

    async def _create(self, request: Request) -> Response:
        gateway, name = self._there, request.path_params["name"]
        if not KEY_NAME.fullmatch(name):
            raise HostError(422, f"{name[:80]!r} is no name of a key: expected {KEY_NAME.pattern}")
        body = await read_body(request, limit=65536, seconds=self._limits.body_seconds)
        try:
            wanted = _Wanted.model_validate_json(body or b"{}")
        except ValidationError as error:
            fault = error.errors()[0]
            raise HostError(422, f'the body is not {{"limit": …}}: {fault["msg"]}') from error
        return JSONResponse({"name": name, "key": gateway.keys.create(name, wanted.limit)}, 201)

    async def _revoke(self, request: Request) -> Response:
        self._there.keys.revoke(request.path_params["name"])
        return Response(status_code=204)

    async def _reload(self, request: Request) -> Response:
        await self._there.reload()
        return JSONResponse({"routes": [route.path for route in self._there.config.routes]})
