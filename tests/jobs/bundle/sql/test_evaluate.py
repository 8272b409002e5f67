"""Every kind of expression beside Spark SQL itself, in its type, its nulls and its failures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onnx import TensorProto

from jobs.bundle.convert import Field
from jobs.bundle.frame import NULL_TEXT, Number, Text, edge
from jobs.bundle.graph import Graph
from jobs.bundle.sql import evaluate
from jobs.bundle.sql.errors import UnsupportedSql
from jobs.bundle.sql.parser import parse

FIELDS = [
    Field("x", "double"),
    Field("y", "double"),
    Field("f", "float"),
    Field("n", "int"),
    Field("m", "int"),
    Field("k", "long"),
    Field("b", "boolean"),
    Field("c", "boolean"),
    Field("s", "string"),
    Field("a b", "double"),
]
TRUE, FALSE, NULL = True, False, None
ROWS = [
    (1.5, 2.5, 0.1, 3, 7, 10, TRUE, FALSE, "a", 1.0),
    (-2.5, 0.5, 0.7, -7, 2, -10, FALSE, TRUE, "b", 2.0),
    (None, 1.0, None, None, 2, 5, NULL, TRUE, None, None),
    (0.0, None, 1.5, 0, None, None, TRUE, NULL, "c", 0.0),
    (-0.0, 1.0, -1.5, 5, 5, 0, NULL, NULL, "", -1.0),
    (math.inf, -math.inf, 3.5, 2, 1, 2**40, FALSE, FALSE, "a", 4.0),
    (0.49999999999999994, 0.5, 2.5, 100, 3, 3, TRUE, TRUE, "A", -0.5),
    (-1e300, 1e300, 1e30, 1073741823, 1, -(2**40), FALSE, NULL, "None", 9.0),
    (0.1, 0.30000000000000004, 0.3, 1, 1, 1, NULL, FALSE, "x", 0.3),
    (1000.0, float(np.nextafter(1000.0, 0)), 16777216.0, 10, 4, 20, TRUE, TRUE, "a", 1.0),
]
EXPRESSIONS = """
x + y | x - y | x * y | x / 4 | -x | +x | x * 2 + y * 3 - 1 | (x + y) * 2.5 | x % 2 | x % 0.3 | n % 3 | mod(n, -3)
n + m | n - m | n * 2 | n / 4 | k / 3 | k * 2 | n DIV 2 | k DIV -3 | -n | k + n | n + 1L | k - 0.5
f + 1 | f * f | f + 0.1 | f * 2.0F | f + x | f / 2 | f / 2.0F | f - n | -f | f < 0.1 | f = 0.1F | f * 3.0D | f + k
n * 0.1 | n + 0.25 | n - 1.75 | n * 0.1 * 0.3 | k * 1.5 + n | 0.1 + 0.2 | n * 1.10 | -0.5 | n * 0.1 + x | 1.5 * 2
n > 2.5 | n = 3.0 | k <= 9.99 | x > 0.1 | x = 0.1 | y = 0.3 | x >= 0.49999999999999994 | 1e3 = x | 1.5D + n | .5 * x | 2. + n
x < y | x <= y | x > y | x >= y | x = y | x == y | x <> y | x != y | x <=> y | n < m | n <=> m | n <=> NULL | b = c | b < c
sqrt(x) = sqrt(y) | sqrt(x) < y | sqrt(x) > y | sqrt(x) >= sqrt(y) | sqrt(x) <=> sqrt(y) | sqrt(x) IN (1, 2) | sqrt(x) <> 1
x + y > 0 | x + y = x - y | x - x = 0 | x * 0 > 1 | x BETWEEN 0 AND 2 | x NOT BETWEEN y AND 3 | n IN (1, 3, 5)
n NOT IN (1, 3) | n IN (1, NULL) | n NOT IN (1, NULL) | x IN (0, 1.5) | s IN ('a', 'b') | s NOT IN ('a')
b AND c | b OR c | NOT b | !b | b AND x > 0 | b OR NOT c | NOT (b AND c) | b AND NULL | b OR NULL | NULL AND FALSE
b OR c AND NOT b | x > 0 AND y > 0 OR n > 3 | NOT x > 0 | NOT b = c
x IS NULL | x IS NOT NULL | b IS TRUE | b IS NOT TRUE | b IS FALSE | (x > 0) IS NULL | s IS NULL | isnull(n) | isnotnull(n)
isnan(x) | isnan(sqrt(x)) | nanvl(sqrt(x), -1) | nanvl(sqrt(x), y) | sqrt(x) IS NULL
CASE WHEN x > 0 THEN 1 ELSE 0 END | CASE WHEN x > 0 THEN y END | CASE WHEN b THEN n WHEN c THEN x ELSE -1 END
CASE WHEN x > 0 THEN 1 WHEN y > 0 THEN 0.5 ELSE 0.25 END | CASE n WHEN 3 THEN 10 WHEN 5 THEN 20 ELSE 30 END
CASE s WHEN 'a' THEN 1.5D WHEN 'b' THEN 2 END | CASE WHEN m <> 0 THEN n / m ELSE 0 END | CASE WHEN x > 0 THEN NULL ELSE 1 END
CASE WHEN b THEN 'yes' WHEN c THEN s END | if(x > 1, x, y) | if(b, 1, 0) | if(b, NULL, NULL) | CASE WHEN x > 0 THEN b ELSE c END
coalesce(x, y, 0) | coalesce(n, 0.5) | nvl(x, 7) | ifnull(n, 7) | coalesce(s, 'none') | nullif(n, 3) | nullif(x, y)
nullif(s, 'a') | coalesce(NULL, n) | coalesce(b, c, TRUE) | coalesce(nullif(m, 0), 1)
abs(x) | abs(n) | abs(n * 0.1) | floor(x) | ceil(x) | ceiling(f) | floor(n) | floor(sqrt(x)) | round(x) | round(f) | round(n) | round(x, 0)
sqrt(abs(x)) | exp(f) | ln(x) | log(x) | log1p(x) | pow(x, 2) | power(abs(y), 0.5) | sign(x) | signum(n) | sin(y) | cos(n)
sin(2 * pi() * n / 24) | e() * n | greatest(x, y) | least(x, y) | greatest(x, y, 0) | least(n, m, 4) | greatest(n, 0.5)
greatest(sqrt(x), y) | least(sqrt(x), y) | negative(x) | greatest(NULL, n)
CAST(n AS DOUBLE) | CAST(b AS DOUBLE) | CAST(b AS INT) | CAST(x AS FLOAT) | CAST(f AS DOUBLE) | CAST(n AS BOOLEAN)
CAST(x AS BOOLEAN) | double(n) | n::double / 8 | CAST(n AS BIGINT) * 2 | CAST(n * 0.75 AS INT) | CAST(a.b AS INT) | bigint(n)
CAST(0.5 AS DOUBLE) * n | CAST(NULL AS DOUBLE) | CAST(x > 0 AS INT) + 1 | float(m) / 3.0F | CAST(n / 3 AS INT)
1 | 'text' | TRUE | NULL | 2.5 | 1 + 1 | `a b` * 2 | __THIS__.x + 1 | X + Y | x /* a note */ + 1
"""


def expressions():
    flat = (part.strip() for line in EXPRESSIONS.strip().splitlines() for part in line.split(" | "))
    return [part.replace("a.b", "`a b`") for part in flat]


def graph_of(select):
    """The frame after a statement, over the inputs of FIELDS."""
    frame = edge(Graph(), FIELDS)
    evaluate.apply(parse(select), frame)
    return frame


@pytest.mark.spark
def test_expressions_give_what_spark_gives(spark, table, run):
    """Some two hundred expressions over nulls, infinities, -0.0 and values an ulp apart: value, null and type."""
    asked = expressions()
    select = "SELECT " + ", ".join(f"{part} AS e{n}" for n, part in enumerate(asked))
    frame = graph_of(f"{select} FROM __THIS__")
    # A guarded division can fail by its form, and does on no row.
    refused = frame.graph.concat([refusal.mask for refusal in frame.refusals])
    bits = frame.graph.cast(refused, TensorProto.DOUBLE)
    count = frame.graph.op("ReduceSum", bits, frame.graph.constant([1], np.int64), keepdims=0)
    outputs = [("refused", count, TensorProto.DOUBLE)]
    for name, column in frame.columns.items():
        assert isinstance(column, Number | Text)
        kind = TensorProto.STRING if isinstance(column, Text) else TensorProto.DOUBLE
        outputs.append((name, column.value, kind))
        if column.null:
            outputs.append((f"{name}_null", column.null, TensorProto.BOOL))
    got = run(frame.graph.model(outputs, ""), FIELDS, ROWS)
    assert not got["refused"].any()

    table(FIELDS, ROWS).createOrReplaceTempView("rows_of_test_evaluate")
    spark_text = select.replace("__THIS__.", "")
    found = spark.sql(f"{spark_text}, row_number FROM rows_of_test_evaluate")
    types = dict(found.dtypes)
    expected = sorted(found.collect(), key=lambda row: row["row_number"])
    faults = []
    for position, part in enumerate(asked):
        name = f"e{position}"
        column = frame.columns[name]
        nulls = got.get(f"{name}_null", np.zeros(len(ROWS), dtype=bool))
        if isinstance(column, Number) and not types[name].startswith(("decimal", "void")):
            spark_type = {"bigint": "long"}.get(types[name], types[name])
            if column.type != spark_type:
                faults.append(f"{part}: {column.type}, Spark {spark_type}")
        for row, null, value in zip(expected, nulls, got[name], strict=True):
            if not same(row[name], value, null, column):
                faults.append(
                    f"{part} of {ROWS[row['row_number']]}: {value!r} null={null}, Spark {row[name]!r}"
                )
    assert not faults, "\n".join(faults[:20])


def same(wanted, value, null, column):
    if wanted is None or null:
        empty = value == NULL_TEXT if isinstance(column, Text) else math.isnan(value)
        return wanted is None and bool(null) and empty
    if isinstance(wanted, str):
        return value == wanted
    wanted = float(wanted)
    if math.isnan(wanted) or math.isinf(wanted):
        return value == wanted or (math.isnan(wanted) and math.isnan(value) and column.nan)
    return abs(value - wanted) <= 1e-15 * max(1.0, abs(wanted))


@pytest.mark.spark
@pytest.mark.parametrize(
    "expression",
    [
        "x / y", "n / m", "n % m", "n DIV m", "x / 0", "mod(x, y)", "CAST(x AS INT)", "CAST(k AS INT)", "CAST(sqrt(y) AS BIGINT)",
        "CASE WHEN m > 0 THEN n / m ELSE 1 / y END", "y <> 1 AND x / y > 1", "y = 1 OR x / y > 1", "coalesce(x, 1 / m)",
        "if(x > 0, 1 / y, 2)", "greatest(x, 1 / y)",
    ],
)  # fmt: skip
def test_failures_refuse_the_same_rows(spark, table, run, expression):
    """Where Spark raises (division by zero, a cast that overflows) the row is refused, and no other."""
    rows = [
        (1.0, 0.0, 0.5, 4, 0, 3, TRUE, TRUE, "a", 1.0),
        (0.0, 1.0, 0.5, 4, 2, 2**40, TRUE, TRUE, "a", 1.0),
        (None, 0.0, 0.5, None, 0, 3, TRUE, TRUE, "a", 1.0),
        (1e12, None, 0.5, 4, None, None, TRUE, TRUE, "a", 1.0),
        (-1.0, -1.0, 0.5, 0, 1, -3, TRUE, TRUE, "a", 1.0),
    ]
    frame = graph_of(f"SELECT {expression} AS made FROM __THIS__")
    (refusal,) = frame.refusals
    mask = frame.graph.op("Squeeze", refusal.mask, frame.graph.constant([1], np.int64))
    got = run(frame.graph.model([("refused", mask, TensorProto.BOOL)], ""), FIELDS, rows)["refused"]
    expected = []
    for row in rows:
        try:
            table(FIELDS, [row]).selectExpr(f"{expression} AS made").collect()
            expected.append(False)
        except Exception as error:
            assert "DIVIDE_BY_ZERO" in str(error) or "REMAINDER_BY_ZERO" in str(error) or "CAST" in str(error)  # noqa: PT017
            expected.append(True)
    assert got.tolist() == expected
    assert any(expected)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("n / 2.0", "decimal division"),
        ("s + 1", "a string"),
        ("s < 'b'", "order of text"),
        ("x = 'a'", "stands beside"),
        ("b + 1", "of a boolean"),
        ("b AND n", "AND of a int"),
        ("CAST(s AS DOUBLE)", "cast of text"),
        ("round(x, 2)", "round to digits"),
        ("floor(n * 0.5)", "floor of a decimal"),
        ("n * 0.12345678901234567890 * 0.12345678901234567890", "digits comes out"),
        ("x DIV 2", "DIV"),
        ("gone + 1", "gone"),
    ],
)
def test_what_cannot_be_said_is_named(expression, said):
    """Types that do not go together here are refused with what was found and what to write instead."""
    with pytest.raises(Exception, match=said) as caught:
        graph_of(f"SELECT {expression} AS made FROM __THIS__")
    assert "To do: " in str(caught.value)
    assert isinstance(caught.value, UnsupportedSql) or "gone" in expression


def test_columns_are_selected_renamed_and_left_out():
    """A star keeps every column, EXCEPT leaves some out, a plain column is renamed, and the rest are gone."""
    assert list(graph_of("SELECT *, x AS again FROM __THIS__").columns) == [
        *(f.name for f in FIELDS),
        "again",
    ]
    assert list(graph_of("SELECT * EXCEPT (f, n, m, k, b, c, S, `a b`) FROM __THIS__").columns) == ["x", "y"]
    assert list(graph_of("select y, x as z, n + 1 next, `a b` from __this__").columns) == [
        "y",
        "z",
        "next",
        "a b",
    ]
