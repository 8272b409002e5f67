"""`python -m penstock.host --state DIR --port N [--bind ADDRESS] [--store URI]`: the function host in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from penstock import settings, signatures
from penstock.errors import PenstockError
from penstock.host.limits import Limits
from penstock.host.server import serve


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
    options = parser.parse_args()
    try:
        signatures.trust(options.key)
        store = options.store or settings.load().store
        serve(options.state, options.bind, options.port, Limits(), store)
    except PenstockError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
