"""`python -m jobs.predict`: a version's Spark model over a table of feature rows."""

from jobs.common.job import serve
from jobs.predict.predict import predict

if __name__ == "__main__":
    serve("predict", predict)
