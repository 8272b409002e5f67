"""The parser: Spark's precedence, and what it says of a statement outside the subset."""

from __future__ import annotations

import pytest

from jobs.bundle.sql.errors import UnsupportedSql
from jobs.bundle.sql.parser import parse
from jobs.bundle.sql.syntax import Call, Case, Cast, Column, Item, Literal, Star


def text(expression):
    """The tree as fully bracketed text."""
    match expression:
        case Literal(_, said) | Column(said):
            return said
        case Call(name, arguments):
            return f"({name} {' '.join(text(argument) for argument in arguments)})"
        case Cast(value, kind):
            return f"(cast {text(value)} {kind})"
        case Case(branches, otherwise):
            inner = " ".join(f"{text(condition)}:{text(value)}" for condition, value in branches)
            return f"(case {inner} {text(otherwise)})"
    raise AssertionError(expression)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("a + b * c", "(+ a (* b c))"),
        ("a - b - c", "(- (- a b) c)"),
        ("-a * b", "(* (negative a) b)"),
        ("a OR b AND NOT c = d", "(or a (and b (not (= c d))))"),
        ("a + 1 < b AND c", "(and (< (+ a 1) b) c)"),
        ("a BETWEEN 1 AND 2 AND b", "(and (and (>= a 1) (<= a 2)) b)"),
        ("a NOT IN (1, 2)", "(not (in a 1 2))"),
        ("a = b IS NULL", "(is null (= a b))"),
        ("a IS NOT TRUE", "(not (<=> a true))"),
        ("a::double / 2", "(/ (cast a double) 2)"),
        ("CASE WHEN a THEN b END", "(case a:b )"),
        ("case a when 1 then b else c end", "(case (= a 1):b c)"),
        ("cast(a as bigint) % 2", "(% (cast a long) 2)"),
        ("Coalesce(a, `b ``c`)", "(coalesce a b `c)"),
        ("NOT a IS NULL", "(not (is null a))"),
        ("a DIV b -- the rest is a note\n", "(div a b)"),
    ],
)
def test_precedence(said, meant):
    """Operators bind as in Spark's grammar."""
    (item,) = parse(f"SELECT {said} AS made FROM __THIS__")
    assert isinstance(item, Item)
    assert text(item.expression) == meant


def test_items():
    """Stars, plain columns, names with and without AS."""
    assert parse("SELECT *, a, b AS c, a + b d, * EXCEPT (a, `b c`) FROM __THIS__") == (
        Star(frozenset()),
        Item(Column("a"), "a"),
        Item(Column("b"), "c"),
        Item(Call("+", (Column("a"), Column("b"))), "d"),
        Star(frozenset({"a", "b c"})),
    )


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT * FROM __THIS__ WHERE a > 1", r"no WHERE.*found 'WHERE' at character 24"),
        ("SELECT * FROM other", "__THIS__ expected, found 'other'"),
        ("SELECT a + FROM __THIS__", "found 'FROM'"),
        ("SELECT a + 1 FROM __THIS__", "needs a name"),
        ("SELECT a.b AS c FROM __THIS__", "plain column"),
        ("SELECT CAST(a AS DATE) AS c FROM __THIS__", r"a type to cast to \(double"),
        ("SELECT a LIKE 'x' AS c FROM __THIS__", "found 'LIKE'"),
        ("SELECT sum(a) OVER () AS c FROM __THIS__", "found 'OVER'"),
        ("SELECT 'it\\'s' AS c FROM __THIS__", "cannot read"),
        ("SELECT a @ b AS c FROM __THIS__", "cannot read '@ b"),
        ("UPDATE t", "SELECT expected"),
        ("SELECT (a AS c FROM __THIS__", r"\) expected"),
        ("SELECT CASE a END AS c FROM __THIS__", "WHEN expected"),
        ("", "SELECT expected, found 'the end'"),
    ],
)
def test_faults_say_where(statement, said):
    """What is outside the subset is refused with its place and a next step."""
    with pytest.raises(UnsupportedSql, match=said) as caught:
        parse(statement)
    assert "To do: " in str(caught.value)
