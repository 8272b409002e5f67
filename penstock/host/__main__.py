"""`python -m penstock.host --state DIR --port N [--bind ADDRESS] [--store URI] [--gateway FILE]`: the function host in the foreground."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from penstock import settings, signatures
from penstock.errors import PenstockError
from penstock.host.limits import MIB, Limits
from penstock.host.server import serve

#: Its gateway's routes, and the bounds on processes, for a host that others start.
GATEWAY = "PENSTOCK_GATEWAY"
IDLE, PROCESSES, MEMORY = "PENSTOCK_HOST_IDLE", "PENSTOCK_HOST_PROCESSES", "PENSTOCK_HOST_MEMORY"


def main() -> int:
    """Serve until SIGTERM; 0 after an orderly end, else the error's exit code with one paragraph on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m penstock.host", description="The embedded function host."
    )
    parser.add_argument(
        "--state", type=Path, required=True, help="folder that holds everything the host keeps"
    )
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 for any free one")
    parser.add_argument(
        "--bind", default="127.0.0.1", help="IP address to listen on (default: loopback only)"
    )
    parser.add_argument(
        "--key",
        metavar="FILE",
        type=Path,
        help=f"public keys, of which one must have signed a package (default: those in {signatures.PUBLIC_KEYS}, if any)",
    )
    parser.add_argument(
        "--store", help="URI of the store that prediction logs go to (default: this installation's)"
    )
    parser.add_argument(
        "--gateway",
        metavar="FILE",
        type=Path,
        default=os.environ.get(GATEWAY) or None,
        help=f"what is open to others, and where (default: {GATEWAY}, else no gateway)",
    )
    usual = Limits()
    parser.add_argument(
        "--idle",
        metavar="SECONDS",
        type=_seconds,
        default=os.environ.get(IDLE, str(usual.idle_seconds)),
        help="after which a function that nobody asks has no process, until it is asked; inf: never "
        f"(default: {IDLE}, else {usual.idle_seconds:g})",
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        type=_count,
        default=os.environ.get(PROCESSES, str(usual.processes)),
        help="how many processes of functions may run; beyond it those go that were not asked for longest "
        f"(default: {PROCESSES}, else {usual.processes})",
    )
    parser.add_argument(
        "--memory",
        metavar="MIB",
        type=_count,
        default=os.environ.get(MEMORY, str(usual.processes_bytes // MIB)),
        help=f"private memory that they may have together (default: {MEMORY}, else {usual.processes_bytes // MIB})",
    )
    options = parser.parse_args()
    limits = Limits(
        idle_seconds=options.idle,
        processes=options.processes,
        processes_bytes=options.memory * MIB,
    )
    try:
        signatures.trust(options.key)
        store = options.store or settings.load().store
        serve(options.state, options.bind, options.port, limits, store, options.gateway)
    except PenstockError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _seconds(given: str) -> float:
    with suppress(ValueError):
        if (seconds := float(given)) > 0:
            return seconds
    raise argparse.ArgumentTypeError(f"{given!r} is no number of seconds above 0")


def _count(given: str) -> int:
    with suppress(ValueError):
        if (count := int(given)) > 0:
            return count
    raise argparse.ArgumentTypeError(f"{given!r} is no whole number above 0")


if __name__ == "__main__":
    sys.exit(main())
