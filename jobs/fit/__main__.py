"""`python -m jobs.fit`: what a version's package takes, and what its calls cost."""

from jobs.common.job import serve
from jobs.fit.fit import fit

if __name__ == "__main__":
    serve("fit", fit)
