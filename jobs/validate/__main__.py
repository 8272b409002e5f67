"""`python -m jobs.validate`: the contract is in `jobs.common.job`."""

from __future__ import annotations

from jobs.common.job import main
from jobs.validate.run import run

if __name__ == "__main__":
    main("validate", run)
