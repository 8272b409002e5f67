"""`python -m jobs.register`."""

from jobs.common.job import main
from jobs.register.stage import run

if __name__ == "__main__":
    main("register", run)
