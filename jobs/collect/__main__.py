"""`python -m jobs.collect`: the contract is in `jobs.common.job`."""

from __future__ import annotations

from jobs.collect.run import run
from jobs.common.job import main

if __name__ == "__main__":
    main("collect", run)
