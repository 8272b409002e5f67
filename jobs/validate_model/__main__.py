"""`python -m jobs.validate_model`."""

from jobs.common.job import main
from jobs.validate_model.stage import run

if __name__ == "__main__":
    main("validate_model", run)
