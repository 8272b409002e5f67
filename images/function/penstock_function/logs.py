"""Structured logs: one JSON object a line, events on stdout, trouble on stderr."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import Any, TextIO

import orjson


def event(name: str, /, **fields: Any) -> None:
    """Say on stdout that something happened."""
    _line(sys.stdout, {"event": name, "time": time.time(), **fields})


def trouble(name: str, /, **fields: Any) -> None:
    """Say on stderr that something went wrong."""
    _line(sys.stderr, {"event": name, "time": time.time(), **fields})


def failure(name: str, error: Exception, **fields: Any) -> None:
    """Say on stderr that this program or the model failed, with the traceback."""
    trouble(name, **fields, error=str(error), traceback="".join(traceback.format_exception(error)))


class JsonHandler(logging.Handler):
    """Carries the web server's own log records in the same form, with the traceback if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "level": record.levelname.lower()}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        trouble("log", message=record.getMessage(), **fields)


def _line(stream: TextIO, fields: dict[str, Any]) -> None:
    # One write a line, so that lines from different threads do not mix.
    stream.write(orjson.dumps(fields, default=str).decode() + "\n")
    stream.flush()
