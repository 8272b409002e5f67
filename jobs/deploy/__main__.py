"""`python -m jobs.deploy`: promote a judged version."""

from jobs.common.job import main
from jobs.deploy.deploy import run

if __name__ == "__main__":
    main("deploy", run)
