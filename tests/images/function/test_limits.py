"""Every bound has a safe value, and docs/function.md says which."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from penstock.host.limits import Limits
from penstock_function import __main__, app, archive, connection, exchange, openwhisk, records, service

PAGE = Path(__file__).parents[3] / "docs/function.md"


def tables() -> list[dict[str, str]]:
    """The two tables of the section on limits: what is bounded, and by how much."""
    section = PAGE.read_text().split("## Limits\n")[1].split("\n## ")[0]
    parts = [part.split("\n\n")[0] for part in section.split("| --- | --- | --- |")[1:]]
    return [dict(re.findall(r"^\| (.+?) \| (.+?) \|", part, re.MULTILINE)) for part in parts]


def size(number: int) -> str:
    """Bytes as people write them."""
    return f"{number // 2**20} MiB" if number % 2**20 == 0 else f"{number // 2**10} KiB"


#: What the connection bounds, which the runtime and the host share.
HEAD = {
    "a request's line and headers": size(connection.MAX_HEAD),
    "until they have come": f"{connection.HEAD_SECONDS:g} s",
    "a connection's time between two requests": f"{connection.IDLE_SECONDS:g} s",
}


def test_the_runtimes_limits_are_those_of_the_page() -> None:
    """One row each, and no other."""
    assert tables()[0] == {
        **HEAD,
        "a body": size(app.MAX_BODY),
        "a body of `/run`": size(openwhisk.MAX_RUN),
        "a body of `/init`": size(openwhisk.MAX_INIT),
        "the package in it, unpacked": size(archive.MAX_UNPACKED),
        "files in it": str(archive.MAX_FILES),
        "until a body has come": f"{exchange.BODY_SECONDS:g} s",
        "records of a request": f"{service.MAX_RECORDS:,}".replace(",", " "),
        f"bodies of more than {size(service.INLINE_BODY)}, in work or waiting": str(service.MAX_LARGE),
        "smaller ones at a function's steps, in work or waiting": str(service.MAX_STEPPED),
        "until one of either is answered, its wait for its turn included": f"{service.ANSWER_SECONDS:g} s",
        "such a request in work": f"{service.STUCK_SECONDS:g} s",
        "faults that are told": str(records.MAX_FAULTS),
        "requests in hand when it is ended": f"{__main__.DRAIN_SECONDS} s",
    }


def test_the_hosts_limits_are_those_of_the_page() -> None:
    """One row for each that guards it or a caller of it; waits between restarts are no limits."""
    limits = asdict(Limits())
    guards = {name: value for name, value in limits.items() if not name.startswith("backoff")}
    del guards["stable_seconds"]
    shown = [
        size(value) if name.endswith("bytes") else f"{value:g} s" if name.endswith("seconds") else str(value)
        for name, value in guards.items()
    ]
    assert list(tables()[1].values()) == [*HEAD.values(), *shown]
