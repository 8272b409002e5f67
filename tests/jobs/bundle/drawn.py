"""Rows drawn at random, with a column of each type, for pipelines that are compared with Spark."""

from jobs.bundle.field import Field

FIELDS = [
    Field("s", "string"),
    Field("t", "string"),
    Field("x", "double"),
    Field("y", "double"),
    Field("n", "int"),
    Field("k", "long"),
    Field("g", "float"),
    Field("b", "boolean"),
]


def rows(rng, count, holes, classes):
    """Values of FIELDS and a label of that many classes; each value but the label is null with the probability `holes`."""

    def hole(value):
        return None if rng.random() < holes else value

    made = []
    for _ in range(count):
        x, y = round(rng.gauss(0, 2), 1) + 0.0, rng.uniform(0.1, 5)
        s, n = rng.choice("abcdefgh"), rng.randrange(-2, 8)
        label = min(classes - 1, max(0, round(x / 2 + n / 4 + (s < "d"))))
        k, g, b, t = rng.randrange(0, 50), rng.choice([0.1, 0.5, 2.5]), rng.random() < 0.5, rng.choice("uvw")
        made.append((*map(hole, (s, t, x, y, n, k, g, b)), label))
    return made
