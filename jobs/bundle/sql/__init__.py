"""The SQL of one row: what a SQLTransformer may say so that it can become part of an ONNX graph.

A statement is `SELECT items FROM __THIS__`, an item being `*`, `* EXCEPT (columns)`, a column, or an expression
`AS name`. Expressions:

- columns (`a`, `` `a b` ``, `__THIS__.a`), whole, decimal and floating literals (`1`, `1L`, `1.5`, `1e3`, `1.5D`,
  `1.5F`), `'text'`, TRUE, FALSE, NULL
- `+ - * / % DIV`, comparisons (`= == <> != < <= > >= <=>`), BETWEEN, IN (list), AND, OR, NOT, IS [NOT] NULL / TRUE /
  FALSE
- CASE (both forms), CAST(x AS DOUBLE | FLOAT | INT | BIGINT | BOOLEAN), `x::type`
- the functions of `jobs.bundle.sql.functions`
- text may be compared for equality, listed in IN, chosen by CASE, COALESCE and NULLIF, and tested for null

The rules are Spark 4's with `spark.sql.ansi.enabled` at its default, true: three-valued logic; NaN equals NaN and is
greater than any number; a division by zero, or a cast to a whole number that does not fit, raises in Spark and refuses
the row here. A decimal literal beside a whole number makes a decimal, exact here while its digits without the point
stay below 2**53 (about 15 digits); dividing decimals rounds to few digits in Spark, so it is left out: write `2.0D`.
Spark raises when a whole number overflows its type; here it goes on as a double. Spark's optimiser leaves out a cast to
float on the way from a whole number to double; here the cast rounds (from 2**24 on).
"""
