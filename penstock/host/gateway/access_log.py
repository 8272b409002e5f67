"""The access log: one JSON object a line for each request, in two files of bounded size."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.host.manifest import REQUEST_ID

# Whatever else a caller sends as its id gets one of ours in its place: it stands in logs and in headers.
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_CHARACTERS: Final = 512  # of what a caller may choose at will
#: In the scope of a request: what is known of it.
SEEN: Final = "penstock.seen"


@dataclass
class Seen:
    """What becomes known of a request on its way; `error` is why it was refused, for those who read the log alone."""

    request_id: str
    route: str | None = None
    function: str | None = None
    revision: str | None = None
    caller: str | None = None
    error: str | None = None


def seen(scope: Scope) -> Seen:
    """What is known of the request so far."""
    return cast(Seen, scope[SEEN])


class AccessLog:
    """Writes the log of what is asked of the ASGI apps around which it is laid. Keys, tokens, queries and bodies are not in it."""

    def __init__(self, path: Path, limit: int) -> None:
        """`limit` is that of each of the two files, in bytes."""
        path.parent.mkdir(exist_ok=True, mode=0o700)
        self._files = _Files(path, maxBytes=limit, backupCount=1, encoding="ascii", delay=True)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # where there is no room for its last lines
            self._files.close()

    def begun(self, headers: Headers) -> Seen:
        """What is known of a request that comes in: the id that it is called by."""
        given = headers.get(REQUEST_ID, "")
        return Seen(given if _ID.fullmatch(given) else uuid.uuid4().hex)

    def ended(
        self,
        client: tuple[str, int] | None,
        method: str,
        path: bytes,
        began: float,
        found: Seen,
        status: int,
        size: int,
    ) -> None:
        """Write the line of one that has been answered; `began` by `time.perf_counter`."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": client[0] if client else None,
            "method": method,
            "path": path.decode("latin-1")[:_CHARACTERS],
            "status": status,
            "bytes": size,
            "seconds": round(time.perf_counter() - began, 6),
            **{name: value and value[:_CHARACTERS] for name, value in vars(found).items()},
        }
        # JSON in ASCII: no control character of a caller's is one in the log.
        self._files.emit(logging.makeLogRecord({"msg": json.dumps(line)}))

    async def around(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Have `app` answer, give the answer the request's id, and write the line."""
        began = time.perf_counter()
        found = self.begun(Headers(scope=scope))
        status, size = 500, 0  # what the server answers where the app raises

        async def noting(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = found.request_id
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await app({**scope, SEEN: found}, receive, noting)
        finally:
            self.ended(scope["client"], scope["method"], scope["raw_path"], began, found, status, size)


class _Files(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A log must never fell what it reports on: where there is no room, the line is lost."""
