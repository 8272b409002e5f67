"""Starts the host: one per state folder, on a socket of its own, and ends it in order."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import uvicorn
from filelock import FileLock, Timeout
from starlette.types import Receive, Scope, Send

from penstock import runtimes
from penstock.durable import write_atomic
from penstock.errors import PenstockError
from penstock.host.app import Host
from penstock.host.errors import storage_error
from penstock.host.gateway import config
from penstock.host.limits import Limits
from penstock.host.state import HostRecord, StateFolder
from penstock.host.whole import Application, Whole
from penstock.processes import birth_of

# A killed host's lock is free at once; one that is ending needs a moment.
_LOCK_SECONDS = 5.0
_log = logging.getLogger("penstock.host")


def serve(
    folder: Path, bind: str, port: int, limits: Limits, store: str, gateway: Path | None = None
) -> None:
    """Serve the functions of `folder` on `bind`:`port` (0: any free port) until SIGTERM or SIGINT.

    Their prediction logs go to the `store`, a URI. What the file `gateway` declares is open where that says.

    Raises PenstockError when the folder has a host already, an address cannot be had, or the file is wrong.
    """
    declared = None if gateway is None else config.read(gateway)
    # In place while no server runs, and again once it has ended: uvicorn raises the signal anew after its
    # graceful shutdown, which would otherwise be the death by signal of a host that ended well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    os.umask(0o077)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "host.lock", timeout=_LOCK_SECONDS):
            state = StateFolder(folder)
            end_orphans(state.root)
            with contextlib.ExitStack() as stack:
                listeners = [stack.enter_context(_listen(bind, port))]
                if declared is not None:
                    listeners.append(stack.enter_context(_listen(declared.bind, declared.port)))
                _serve(state, listeners, limits, store, gateway)
    except Timeout:
        raise PenstockError(
            f"{folder} has a function host already: {_holder(folder)}",
            next_step="use that one, or stop it first",
        ) from None


def _serve(
    state: StateFolder, listeners: list[socket.socket], limits: Limits, store: str, gateway: Path | None
) -> None:
    if len({listener.getsockname()[1] for listener in listeners}) < len(listeners):
        raise PenstockError(
            f"the host and its gateway have the same port on different addresses: {', '.join(map(_url, listeners))}",
            next_step=f"give the gateway another one in {gateway}",
        )
    pid = os.getpid()
    url, *gateways = map(_url, listeners)
    record = HostRecord(
        url=url,
        pid=pid,
        created=psutil.Process(pid).create_time(),
        birth=birth_of(pid),
        gateway=gateways[0] if gateways else None,
    )
    try:
        state.open()
        host = Host(state, record, limits, store, gateway)
        # It listens already: whoever reads this waits for the first answer instead of being refused.
        write_atomic(state.record, record.model_dump_json().encode())
    except OSError as error:
        raise storage_error(error, f"opening {state.root}") from error
    address, port = listeners[0].getsockname()[:2]
    app = host.app(loopback=ipaddress.ip_address(address).is_loopback)
    server = uvicorn.Config(
        app if host.gateway is None else ByPort(port, app, host.gateway),
        # The runtime's connection, which bounds the head of a request: the host starts runtimes, so it is there.
        http="penstock_function.connection:Connection",
        lifespan="on",
        ws="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=round(limits.answer_seconds) + 5,
    )
    try:
        uvicorn.Server(server).run(sockets=listeners)
    finally:
        state.record.unlink(missing_ok=True)


class ByPort:
    """The `app` for what came in at that port, and at any other the gateway; which of them it was no client can feign."""

    def __init__(self, port: int, app: Application, gateway: Application) -> None:
        self._port = port
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["type"] == "lifespan" or scope["server"][1] == self._port
        await (self._app if own else self._gateway)(scope, receive, send)

    def take(self, asked: Whole) -> bool:
        """Each takes its own. See `Whole`."""
        return (self._app if asked.port == self._port else self._gateway).take(asked)


def _url(listener: socket.socket) -> str:
    """Where to ask from this machine."""
    given, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(given)
    shown = ("127.0.0.1" if address.version == 4 else "::1") if address.is_unspecified else given
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def end_orphans(root: Path) -> None:
    """Kill every runtime that a dead host left running on packages below `root`.

    Where the kernel ties a runtime's life to its host's (see `launch`), there are none. To be called with the
    folder's lock held: then no living host owns them.
    """
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if runtimes.is_one(command) and any(_is_below(argument, root) for argument in command):
            try:
                process.kill()
                process.wait(5)
            except psutil.NoSuchProcess:
                continue
            _log.warning("ended the orphaned runtime %d: %s", process.pid, " ".join(command))


def _is_below(argument: str, root: Path) -> bool:
    return argument.startswith(f"{root}{os.sep}")


def _listen(bind: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(bind).version == 6 else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
    except ValueError:
        raise PenstockError(f"--bind is {bind!r}: expected an IP address such as 127.0.0.1") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((bind, port))
        # From here on a client waits instead of being refused.
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise PenstockError(
            f"cannot listen on {bind} port {port}: {error}",
            next_step="choose another port, or 0 for any free one",
        ) from error
    return listener


def _holder(folder: Path) -> str:
    try:
        record = HostRecord.model_validate_json(StateFolder(folder).record.read_bytes())
    except (OSError, ValueError):
        return "it is starting or ending"
    return f"{record.url}, pid {record.pid}"
