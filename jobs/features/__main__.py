"""`python -m jobs.features`."""

from jobs.common.job import main
from jobs.features.stage import run

if __name__ == "__main__":
    main("features", run)
