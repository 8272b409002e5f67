"""`python -m jobs.train`."""

from jobs.common.job import main
from jobs.train.stage import run

if __name__ == "__main__":
    main("train", run)
