"""`python -m penstock_function --package DIR --port N`: prove a package, then serve it.

Without `--package` it serves at once and waits for OpenWhisk's `POST /init`. It says on stdout, as JSON lines,
when it is ready and on which port; SIGTERM ends it after the requests in hand are answered.

With `--grpc-port N` it speaks the Open Inference Protocol over gRPC, too, where grpcio is installed.

With `--libraries DIR`, as often as wanted, steps of the package find there what they need beyond the runtime's own.

With `--log DIR` it spools the prediction log there that its package asks for (penstock_function.spool); the key by which
sensitive columns are hashed is PENSTOCK_LOG_KEY, and without it they are left out.

Exit codes: 0 stopped by a signal, 1 the port cannot be had, 2 wrong arguments, 3 the package is refused, 4 a request hangs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import uvicorn

from penstock_function import logs
from penstock_function.app import MAX_BODY, build
from penstock_function.connection import Connection
from penstock_function.package import Package, PackageError
from penstock_function.service import STUCK_SECONDS, Service
from penstock_function.signature import PUBLIC_KEYS, public_keys
from penstock_function.tracing import Tracing

if TYPE_CHECKING:
    import grpc
    from nacl.signing import VerifyKey

LOOK_SECONDS = 5.0  # between two looks for a request that hangs
DRAIN_SECONDS = 10  # what a request in hand gets to end after SIGTERM; Kubernetes kills after 30


class _Server(uvicorn.Server):
    """Says that it is ready once it listens: to gRPC too, where that has a port. They start and end together."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        service: Service,
        tracing: Tracing,
        grpc_port: int | None,
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._service = service
        self._tracing = tracing
        self._grpc_port = grpc_port
        self._grpc: grpc.aio.Server | None = None
        #: Whether there was no port for gRPC to be had.
        self.refused = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        bind, port = self._listener.getsockname()[:2]
        if self._grpc_port is not None:
            # Not every image has gRPC.
            from penstock_function import open_inference_grpc

            try:
                self._grpc, self._grpc_port = await open_inference_grpc.start(
                    self._service, self._tracing, bind, self._grpc_port, MAX_BODY
                )
            except RuntimeError:  # which tells no more
                logs.trouble("refused", reason=f"gRPC cannot listen on {bind} port {self._grpc_port}")
                self.refused = self.should_exit = True
                return
        await super().startup(sockets)
        self._watch = asyncio.create_task(end_where_stuck(self._service))
        package = self._service.package
        logs.event(
            "ready" if package else "waiting",
            port=port,
            bind=bind,
            grpc_port=self._grpc_port,
            name=package.name if package else None,
            version=package.version if package else None,
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        drained = [] if self._grpc is None else [self._grpc.stop(DRAIN_SECONDS)]
        await asyncio.gather(super().shutdown(sockets), *drained)


async def end_where_stuck(service: Service) -> None:
    """End the process once a request hangs: whoever started it starts it anew."""
    while not service.stuck:
        await asyncio.sleep(LOOK_SECONDS)
    reason = f"a request has been worked on for more than {STUCK_SECONDS:g} s: the process ends, as nothing else ends that"
    logs.trouble("stuck", reason=reason)
    service.close()
    os._exit(4)  # an orderly end would wait for the thread


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        keys = _keys(options.key)
    except (OSError, ValueError) as error:
        parser.error(f"{f'--key {options.key}' if options.key else PUBLIC_KEYS}: {error}")
    if options.grpc_port is not None and find_spec("grpc") is None:
        parser.error("--grpc-port needs grpcio, which the image function-grpc has")
    # gRPC's core would write lines of its own between those of the log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Until the server takes signals over, and again when it has drained: leave, and leave well.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    sys.path.extend(options.libraries)
    service = Service(keys, options.log, os.environ.get("PENSTOCK_LOG_KEY"))
    if options.package is not None:
        try:
            service.serve(Package.load(options.package, keys))
        except PackageError as error:
            logs.trouble("refused", package=options.package, reason=str(error))
            return 3
    try:
        listener = _listen(options.bind, options.port)
    except OSError as error:
        logs.trouble(
            "refused", reason=f"cannot listen on {options.bind} port {options.port}: {error.strerror}"
        )
        return 1
    handler = logs.JsonHandler(logging.WARNING)
    # gRPC's record of metadata that is no text, which shows what a caller sent.
    handler.addFilter(lambda record: record.msg != "Invalid encoding on %s")
    for library in ("uvicorn", "opentelemetry", "grpc"):
        logging.getLogger(library).addHandler(handler)
    tracing = Tracing(service.package.name if service.package else "penstock-function")
    config = uvicorn.Config(
        tracing.app(build(service)),
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,  # /metrics counts requests; a line each would cost as much as the scoring
        server_header=False,
        proxy_headers=False,  # nothing here asks who the client is
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = _Server(config, listener, service, tracing, options.grpc_port)
    try:
        server.run([listener])
    finally:  # by the signal that uvicorn raises anew, too
        service.close()
    return int(server.refused)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="penstock_function", description="Serve a function package over HTTP."
    )
    parser.add_argument("--package", metavar="DIR", help="the package; without it, wait for POST /init")
    parser.add_argument(
        "--key",
        metavar="FILE",
        help=f"public keys, of which one must have signed the package (default: those in {PUBLIC_KEYS}, if any)",
    )
    parser.add_argument(
        "--port", type=_port, default=8080, help="0 takes a free one and says which (default 8080)"
    )
    parser.add_argument(
        "--grpc-port",
        metavar="PORT",
        type=_port,
        help="the Open Inference Protocol over gRPC on this one too (default: not at all)",
    )
    parser.add_argument(
        "--log", metavar="DIR", type=Path, help="where a prediction log is spooled, if at all"
    )
    parser.add_argument(
        "--libraries", metavar="DIR", action="append", default=[], help="libraries of the package's steps"
    )
    parser.add_argument("--bind", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    return parser


def _keys(file: str | None) -> Sequence[VerifyKey]:
    if file is not None:  # an empty one is a mistake, which would let anything in
        return public_keys(Path(file).read_text("utf-8"))
    text = os.environ.get(PUBLIC_KEYS)
    return public_keys(text) if text else ()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, expected 0 to 65535")
    return int(text)


def _listen(bind: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _leave(signum: int, frame: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
