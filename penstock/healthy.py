"""Whether a service answers: `python healthy.py URL [PART]`, the health check of containers.

PART: of Airflow's own report, the component whose status counts. Run by path and on Python's library alone: it is
called every few seconds.
"""

from __future__ import annotations

import json
import sys
import urllib.request


def main(url: str, part: str | None = None) -> int:
    """0 where it is healthy; fails else."""
    # The environment's proxies are for the world outside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        return 0 if part is None else int(json.load(answer)[part]["status"] != "healthy")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
