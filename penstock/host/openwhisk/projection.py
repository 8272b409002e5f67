"""What a web action answers over HTTP with, made of its result as the extension of its address says.

The controller's own reading of a result:
https://github.com/apache/openwhisk/blob/master/core/controller/src/main/scala/org/apache/openwhisk/core/controller/WebActions.scala
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from penstock.host.errors import HostError

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE: Final = re.compile(rf"({_WORD})/({_WORD})((?: *; *{_WORD}=(?:{_WORD}|\"[^\"]*\"))*) *")
_PARAMETER: Final = re.compile(rf"; *({_WORD})=(?:{_WORD}|\"[^\"]*\")")
_HEADER: Final = re.compile(_WORD)
#: Visible Latin-1, spaces and tabs: nothing that ends a header's line.
_VALUE: Final = re.compile("[\t\x20-\x7e\xa0-\xff]*")
#: What is said of the connection and of a body's length is the server's to say.
_OURS: Final = {
    "connection", "content-length", "content-type", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
#: Answers of these statuses have no body.
_BARE: Final = {HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED}
#: What OpenWhisk takes for base64.
_BASE64: Final = re.compile(
    r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)", re.ASCII
)


@dataclass(frozen=True)
class MediaType:
    """`main/sub`, with its `parameters` but for the charset, as they stand after it; `charset`: whether it had one."""

    main: str
    sub: str
    parameters: str = ""
    charset: bool = False

    @classmethod
    def parse(cls, given: str) -> MediaType | None:
        """Of a header's value; None where it is none."""
        found = _MEDIA_TYPE.fullmatch(given)
        if found is None:
            return None
        each = {
            parameter[0]: parameter[1].lower() == "charset" for parameter in _PARAMETER.finditer(found[3])
        }
        kept = "".join(parameter for parameter, is_charset in each.items() if not is_charset)
        return cls(found[1].lower(), found[2].lower(), kept, any(each.values()))

    @property
    def json(self) -> bool:
        return (self.main, self.sub) == ("application", "json") or self.sub.endswith("+json")

    @property
    def text(self) -> bool:
        """Whether its bodies are text; others are bytes, in base64 wherever they stand in JSON."""
        return (
            self.charset
            or self.json
            or self.main in ("text", "multipart")
            or self.sub in ("javascript", "xml", "x-www-form-urlencoded")
            or (self.sub.endswith("+xml") and self.main == "application")
        )

    def __str__(self) -> str:
        charset = "; charset=UTF-8" if self.text and not self.json else ""
        return f"{self.main}/{self.sub}{self.parameters}{charset}"


def _as_http(result: Any) -> Response:
    """What `statusCode`, `headers` and `body` say; without a body 204 unless there is a status."""
    try:
        given = [*_headers(result.get("headers", {}))]
        status = None if "statusCode" not in result else _status(result["statusCode"])
    except (AttributeError, ValueError, OverflowError) as error:
        raise _invalid("message/http") from error
    body = result.get("body")
    if body is None or body == "" or status in _BARE:
        response = Response(status_code=status or HTTPStatus.NO_CONTENT)
    else:
        declared = next((value for name, value in given if name.lower() == "content-type"), None)
        kind = _DEFAULT[isinstance(body, str)] if declared is None else MediaType.parse(declared)
        if kind is None:
            raise HostError(400, "Response did not specify a known content-type.")
        response = Response(_content(body, kind), status or HTTPStatus.OK, {"Content-Type": str(kind)})
    for name, value in given:
        if name.lower() not in _OURS:
            response.headers.append(name, value)
    return response


#: Of a body that is no string, and of one that is.
_DEFAULT: Final = (MediaType("application", "json"), MediaType("text", "html"))


def _content(body: Any, kind: MediaType) -> bytes:
    """A body's bytes. Raises HostError (400) where it is none of its type."""
    try:
        if not isinstance(body, str):
            if not kind.json:
                raise ValueError
            return json.dumps(body, ensure_ascii=False).encode()
        if not kind.text or (kind.json and _BASE64.fullmatch(body.strip())):
            return base64.b64decode(body.strip(), validate=True)
        return body.encode()
    except ValueError as error:  # also of base64, and of half a pair of surrogates
        raise HostError(400, "Response type in header did not match generated content type.") from error


def _headers(given: Any) -> Iterator[tuple[str, str]]:
    """The names and values in `headers`. Raises AttributeError and ValueError."""
    for name, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, str | bool | int | float):
                raise ValueError(name)
            said = each if isinstance(each, str) else json.dumps(each)
            if not _HEADER.fullmatch(name) or not _VALUE.fullmatch(said):
                raise ValueError(name)
            yield name, said


def _status(given: Any) -> HTTPStatus:
    """A status that ends an exchange. Raises ValueError and OverflowError."""
    if isinstance(given, bool) or not isinstance(given, int | float | str) or int(given) != float(given):
        raise ValueError(given)
    status = HTTPStatus(int(given))
    if status < HTTPStatus.OK:
        raise ValueError(given)
    return status


def _as_json(result: Any) -> Response:
    if not isinstance(result, dict | list):
        raise _invalid("application/json")
    return JSONResponse(result)


def _as_document(key: str, media_type: str) -> Callable[[Any], Response]:
    """Of a string, or of an object's `body`, or what it has by this key."""

    def respond(result: Any) -> Response:
        document = result.get("body", result.get(key)) if isinstance(result, dict) else result
        if not isinstance(document, str):
            raise _invalid(media_type)
        return Response(document.encode("utf-8", "replace"), media_type=media_type)

    return respond


def _as_text(result: Any) -> Response:
    if isinstance(result, dict):
        if not {"body", "text"} & result.keys():
            raise HostError(404, "Response does not include requested property.")
        result = result.get("body", result.get("text"))
    said = result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)
    return Response(said.encode("utf-8", "replace"), media_type="text/plain")


def _invalid(media_type: str) -> HostError:
    return HostError(400, f"Response is not valid '{media_type}'.")


HTTP: Final = ".http"
#: What makes an answer of a result, by the extension of an action's name. Each raises HostError where it cannot.
EXTENSIONS: Final[Mapping[str, Callable[[Any], Response]]] = {
    HTTP: _as_http,
    ".json": _as_json,
    ".html": _as_document("html", "text/html"),
    ".svg": _as_document("svg", "image/svg+xml"),
    ".text": _as_text,
}
