"""Records become exactly the columns that the model was trained on, or faults that name row and field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_function.package import Field
from penstock_function.records import MAX_FAULTS, NULL, Encoder, InputError, describe

FIELDS = [
    Field("text", "string"),
    Field("double", "double"),
    Field("float", "float"),
    Field("long", "long"),
    Field("int", "int"),
    Field("flag", "boolean"),
]
RIGHT = {"text": "a", "double": 1.5, "float": 0.1, "long": 4, "int": -5, "flag": True}
ENCODER = Encoder(FIELDS)


def faults(record: Any) -> list[tuple[str, str]]:
    """Field and found value of each fault of one record."""
    with pytest.raises(InputError) as caught:
        ENCODER.encode([record])
    return [(fault["field"], fault["found"]) for fault in caught.value.faults]


def test_columns_have_the_models_types() -> None:
    """Strings become objects, everything else float64, one value a row."""
    columns = ENCODER.encode([RIGHT, {**RIGHT, "text": "b", "flag": False}])
    assert columns["text"].dtype == object
    assert columns["text"].tolist() == ["a", "b"]
    for name in ("double", "float", "long", "int", "flag"):
        assert columns[name].dtype == np.float64
        assert columns[name].shape == (2,)
    assert columns["flag"].tolist() == [1.0, 0.0]


def test_null_is_nan_or_the_null_token() -> None:
    """Every column takes null; it becomes what the graph reads as null."""
    columns = ENCODER.encode([dict.fromkeys(RIGHT), RIGHT])
    assert columns["text"].tolist() == [NULL, "a"]
    for name in ("double", "float", "long", "int", "flag"):
        assert math.isnan(columns[name][0])
        assert not math.isnan(columns[name][1])


def test_a_float_column_holds_singles() -> None:
    """0.1 in a Spark float column is the single nearest to 0.1, and so it is here."""
    assert ENCODER.encode([RIGHT])["float"][0] == float(np.float32(0.1)) != 0.1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("double", 3),
        ("double", 2**60),
        ("double", 1.7976931348623157e308),
        ("double", 5e-324),
        ("float", 3.4028234663852886e38),
        ("long", 3.0),
        ("long", 2**53),
        ("long", -(2**53)),
        ("int", 2**31 - 1),
        ("int", -(2**31)),
        ("int", 7.0),
        ("flag", False),
        ("text", ""),
        ("text", "é☃𝄞\u0000"),
    ],
)
def test_values_at_the_edge_are_taken(field: str, value: Any) -> None:
    """The largest, smallest and oddest values that a column can hold arrive unchanged."""
    assert ENCODER.encode([{**RIGHT, field: value}])[field][0] == value


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("text", 3, "3"),
        ("text", ["a"], "an array of 1 values"),
        ("text", "\ud800", "the string '\\ud800'"),
        ("double", "3", "the string '3'"),
        ("double", True, "true"),
        ("double", math.nan, "nan"),
        ("double", math.inf, "inf"),
        pytest.param("double", 10**400, "a whole number of 1329 bits", id="double-huge"),
        ("double", {"a": 1}, "an object with 1 fields"),
        ("float", 3.5e38, "3.5e+38"),
        ("float", -math.inf, "-inf"),
        ("long", 1.5, "1.5"),
        ("long", 2**53 + 1, "9007199254740993"),
        ("long", -(2**53) - 1, "-9007199254740993"),
        ("long", 1e300, "1e+300"),
        ("long", False, "false"),
        ("int", 2**31, "2147483648"),
        ("int", -(2**31) - 1, "-2147483649"),
        ("int", 0.5, "0.5"),
        ("flag", 1, "1"),
        ("flag", 0.0, "0.0"),
        ("flag", "true", "the string 'true'"),
    ],
)
def test_wrong_values_are_named(field: str, value: Any, found: str) -> None:
    """A value of the wrong type or out of range is one fault, with the field and what stood there."""
    assert faults({**RIGHT, field: value}) == [(field, found)]


def test_missing_and_unknown_fields_are_named() -> None:
    """A renamed column gives two faults: the one that is gone and the one that is new."""
    record = {**RIGHT, "Text": "a"}
    del record["text"]
    assert faults(record) == [("text", "no such field"), ("Text", "an unknown field")]


@pytest.mark.parametrize("row", [None, 1, "a", [], [RIGHT], True])
def test_a_row_that_is_no_object_is_a_fault(row: Any) -> None:
    """Anything but an object is a fault of the row itself."""
    assert [field for field, _ in faults(row)] == [""]


def test_the_row_is_counted_from_zero() -> None:
    """The fault of the third record says row 2, and so does the sentence."""
    with pytest.raises(
        InputError, match=r"row 2, field 'int': found the string 'x', expected a whole number"
    ) as caught:
        ENCODER.encode([RIGHT, RIGHT, {**RIGHT, "int": "x"}])
    assert [fault["row"] for fault in caught.value.faults] == [2]


def test_faults_are_bounded() -> None:
    """A thousand wrong rows give MAX_FAULTS faults, and the sentence says that there may be more."""
    with pytest.raises(InputError, match="19 or more other faults") as caught:
        ENCODER.encode([{}] * 1000)
    assert len(caught.value.faults) == MAX_FAULTS


def test_a_nan_does_not_hide_behind_a_null() -> None:
    """A NaN is refused also where another row has a null in the same column."""
    with pytest.raises(InputError) as caught:
        ENCODER.encode([{**RIGHT, "double": None}, {**RIGHT, "double": math.nan}])
    assert [(fault["row"], fault["field"]) for fault in caught.value.faults] == [(1, "double")]


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**54), 2**54),
    st.floats(),
    st.floats(width=32),
    st.text(st.characters(), max_size=5),
    st.just([]),
)


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(RIGHT, values)), min_size=1, max_size=4))
def test_the_fast_way_agrees_with_the_exact_rule(records: list[dict[str, Any]]) -> None:
    """Looking at columns at once refuses and accepts the same records as looking at one value after another."""
    wrong = ENCODER.faults(records)
    if wrong:
        with pytest.raises(InputError):
            ENCODER.encode(records)
    else:
        columns, exact = ENCODER.encode(records), ENCODER._exact(records)
        for name, column in columns.items():
            np.testing.assert_array_equal(column, exact[name])


def test_a_large_value_is_described_in_a_line() -> None:
    """What was found is never longer than a line, whatever was sent."""
    for value in ["x" * 10**6, list(range(10**6)), {str(number): 1 for number in range(1000)}, 10**5000]:
        assert len(describe(value)) < 80


RIGHT_VALUES = {
    "text": st.text(max_size=5),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "float": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "long": st.integers(1 - 2**53, 2**53 - 1),  # the ends beyond get the exact look
    "int": st.integers(1 - 2**31, 2**31 - 1),
    "flag": st.booleans(),
}
ANY_VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5), st.just([]), st.just({}),
)  # fmt: skip


@given(
    records=st.lists(
        st.fixed_dictionaries({name: st.none() | values for name, values in RIGHT_VALUES.items()}), min_size=1
    )
)
def test_right_records_are_read_straight_from_json(records: list[dict[str, Any]]) -> None:
    """The parser that knows the fields gives, to the bit, the columns of the parsed records; one record or many."""
    expected = ENCODER.encode(records)
    _same(ENCODER.decode(orjson.dumps(records)), expected)
    _same(ENCODER.decode(orjson.dumps(records[0])), ENCODER.encode(records[:1]))


@given(
    records=st.lists(
        st.fixed_dictionaries({name: st.none() | values for name, values in RIGHT_VALUES.items()}), min_size=1
    )
)
def test_right_records_are_rows(records: list[dict[str, Any]]) -> None:
    """Looked at one by one they give the columns that they give together."""
    rows = [row for record in records if (row := ENCODER.row(record)) is not None]
    assert len(rows) == len(records)
    _same(ENCODER.columns(rows), ENCODER.encode(records))


@given(
    records=st.lists(
        st.fixed_dictionaries(
            {name: values | ANY_VALUE for name, values in RIGHT_VALUES.items()},
            optional={"other": ANY_VALUE},
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_records_are_read_right_or_not_at_all(records: list[dict[str, Any]]) -> None:
    """Whatever stands in a body, reading it straight from JSON gives what the exact rule gives, or None; so does a row."""
    columns = ENCODER.decode(orjson.dumps(records))
    if columns is not None:
        _same(columns, ENCODER.encode(records))
    row = ENCODER.row(records[0])
    if row is not None and (columns := ENCODER.columns([row])) is not None:
        _same(columns, ENCODER.encode(records[:1]))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"[1]", b"[{]", b"\xff", b'{"text": "\xff"}', b'[{"text": "\\ud800"}]']
)
def test_what_is_no_record_is_left_to_the_exact_look(body: bytes) -> None:
    """Nothing is said of a body that is no JSON or no records."""
    assert ENCODER.decode(body) is None


def test_columns_of_any_name_are_read_straight_from_json() -> None:
    """Names that no attribute may have, and the name of the parser's own attribute."""
    names = ["a b", "class", "ü", "column_1", "__init__", ""]
    encoder = Encoder([Field(name, "double") for name in names])
    record = {name: float(index) for index, name in enumerate(names)}
    _same(encoder.decode(orjson.dumps([record])), encoder.encode([record]))


@given(names=st.lists(st.text(max_size=3) | st.sampled_from(['a"b', "a\\b", "\n"]), min_size=1, unique=True))
def test_a_column_may_have_any_name(names: list[str]) -> None:
    """By whatever name, its value is read: straight from JSON, or by the exact look where JSON escapes the name."""
    encoder = Encoder([Field(name, "double") for name in names])
    record = {name: float(index) for index, name in enumerate(names)}
    encoded = encoder.encode([record])
    assert {name: column.tolist() for name, column in encoded.items()} == {
        name: [value] for name, value in record.items()
    }
    decoded = encoder.decode(orjson.dumps([record]))
    if decoded is not None:
        _same(decoded, encoded)


def _same(found: Any, expected: Any) -> None:
    assert found is not None
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].dtype == column.dtype
        assert found[name].tolist() == column.tolist() or np.array_equal(found[name], column, equal_nan=True)
