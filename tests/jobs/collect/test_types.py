"""Types are declared, or found from all rows: never from the first ones."""

from __future__ import annotations

import io
import itertools
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.collect import csv_reader, kinds
from jobs.collect.batches import Batch
from jobs.collect.survey import Survey
from penstock import files
from penstock.spec.sources import Files


def _column(collect, tmp_path: Path, values: list[str], **options: object) -> tuple[str, list[object]]:
    (tmp_path / "a.csv").write_text("i,v\n" + "".join(f"0,{value}\n" for value in values))
    found = collect(files("things", str(tmp_path / "a.csv"), **options))
    return found.summary["columns"]["v"], [row["v"] for row in found.rows]


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        (["1", "NA", "-3"], "long", [1, None, -3]),
        (["1", "2.5", ""], "double", [1.0, 2.5, None]),
        (["1", "NaN"], "double", [1.0, None]),
        (["1e3", "-.5", "2."], "double", [1000.0, -0.5, 2.0]),
        (["true", "FALSE", ""], "boolean", [True, False, None]),
        (["true", "1"], "string", ["true", "1"]),
        (["007", "8"], "string", ["007", "8"]),
        (["0x1F", "8"], "string", ["0x1F", "8"]),
        (["9223372036854775807"], "long", [2**63 - 1]),
        (["9223372036854775808", "1"], "string", ["9223372036854775808", "1"]),
        (["2013-06-01", "2013-06-02"], "string", ["2013-06-01", "2013-06-02"]),
        (["nan", "inf"], "double", [None, float("inf")]),
        (["", "NA"], "double", [None, None]),
    ],
)
def test_text_has_the_type_that_all_of_it_looks_like(
    collect, tmp_path: Path, values: list[str], type_: str, expected: list[object]
) -> None:
    """Whole numbers stay whole beside nulls; identifiers (leading zeros, too long, hexadecimal) stay text."""
    assert _column(collect, tmp_path, values) == (type_, expected)


def test_a_column_without_values_is_named(collect, tmp_path: Path) -> None:
    """What an all-null column is in other intervals is not known here, and the summary says so."""
    (tmp_path / "a.csv").write_text("a,b,c\n1,NA,\n")
    found = collect(files("things", str(tmp_path / "a.csv"), columns={"c": "long"}))
    assert found.summary["untyped"] == ["b"]


_TEXTS = st.one_of(
    st.sampled_from(
        ["", "NA", "1", "-7", "2.5", "1e9", "nan", "true", "False", "007", "x", "9" * 20, "-0", "0.0"]
    ),
    st.integers().map(str),
    st.floats().map(str),
)


@settings(deadline=None)
@given(values=st.lists(_TEXTS, max_size=30), cuts=st.lists(st.integers(0, 30), max_size=4))
def test_a_type_does_not_depend_on_the_chunks(values: list[str], cuts: list[int]) -> None:
    """However the rows are cut into batches, and in whichever order these come, the column has one type."""
    source = Files(name="things", uri="x")
    cut_at = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts = [values[low:high] for low, high in itertools.pairwise(cut_at)]

    def type_of(chunks: list[list[str]]) -> dict[str, str]:
        survey = Survey(source)
        for chunk in chunks:
            text = pa.array([None if value in source.null else value for value in chunk], pa.string())
            survey.add(Batch("a", 1, pa.RecordBatch.from_arrays([text], names=["v"]), text=True))
        return survey.columns()

    assert type_of(parts) == type_of([values]) == type_of(parts[::-1])


@settings(deadline=None)
@given(st.lists(_TEXTS, min_size=1, max_size=20))
def test_what_has_a_type_converts_to_it(values: list[str]) -> None:
    """The found type holds every value: conversion never fails on what inference let through."""
    from jobs.collect.conversion import convert

    text = pa.array(values, pa.string())
    kind = kinds.of_text(text)
    if kind != "null":
        assert len(convert(text, kind)) == len(values)


def test_the_same_data_gives_the_same_schema_in_small_blocks(
    collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that is null, then whole, then decimal over many blocks gives the schema and digest of one block."""
    lines = ["n,gust"] + [f"{i},{'NA' if i < 400 else i if i < 800 else i / 2}" for i in range(1000)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    whole = collect(files("things", str(tmp_path / "a.csv")))
    monkeypatch.setattr(csv_reader, "_BLOCK", 128)
    blocks = collect(files("things", str(tmp_path / "a.csv")))
    assert whole.summary["columns"] == {"n": "long", "gust": "double"}
    assert (whole.summary, whole.digest) == (blocks.summary, blocks.digest)
    assert whole.table.equals(blocks.table)


def test_declared_types_are_enforced(collect, tmp_path: Path) -> None:
    """Each declared type reads its own text; timestamps with a zone become UTC, without one they are UTC."""
    (tmp_path / "a.csv").write_text(
        "s,d,f,l,i,b,t,u,day\n007,1,0.5,12,-3,1,2013-06-01T12:00:00+02:00,2013-06-01 10:00,2013-06-01\n"
    )
    declared = {
        "s": "string", "d": "double", "f": "float", "l": "long", "i": "int", "b": "boolean",
        "t": "timestamp", "u": "timestamp", "day": "date",
    }  # fmt: skip
    found = collect(files("things", str(tmp_path / "a.csv"), columns=declared))
    ten = datetime(2013, 6, 1, 10, tzinfo=UTC)
    assert found.summary["columns"] == declared
    assert found.rows == [
        {
            "s": "007",
            "d": 1.0,
            "f": 0.5,
            "l": 12,
            "i": -3,
            "b": True,
            "t": ten,
            "u": ten,
            "day": date(2013, 6, 1),
        }
    ]
    assert [str(field.type) for field in found.table.schema] == [
        str(kinds.ARROW[type_]) for type_ in declared.values()
    ]


def test_json_values_of_several_types_ask_for_a_declaration(collect, tmp_path: Path) -> None:
    """A number here and a text there has no type of its own; declared, it is what is declared."""
    from penstock.errors import DataError

    (tmp_path / "a.jsonl").write_text('{"v": 5}\n{"v": "six"}\n')
    with pytest.raises(DataError, match=r"column 'v' holds values of several types: int, str"):
        collect(files("things", str(tmp_path / "a.jsonl")))
    found = collect(files("things", str(tmp_path / "a.jsonl"), columns={"v": "string"}))
    assert [row["v"] for row in found.rows] == ["5", "six"]


def test_json_types_of_other_batches_count(collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers in one batch and decimals in the next give one column of doubles."""
    from jobs.collect import json_reader

    (tmp_path / "a.jsonl").write_text('{"v": 5}\n{"v": null}\n{"v": 0.5}\n{"w": "x"}\n')
    whole = collect(files("things", str(tmp_path / "a.jsonl")))
    monkeypatch.setattr(json_reader, "CHUNK_ROWS", 1)
    rows = collect(files("things", str(tmp_path / "a.jsonl")))
    assert whole.rows == rows.rows
    assert [row["v"] for row in rows.rows] == [5.0, None, 0.5, None]
    assert whole.digest == rows.digest


def test_parquet_keeps_its_types(collect, tmp_path: Path) -> None:
    """Narrow integers, decimals, dictionaries and nanoseconds become the nearest of our types."""
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "small": pa.array([1, None], pa.int8()),
            "big": pa.array([2, 3], pa.uint32()),
            "money": pa.array(["1.10", "2.20"]).cast(pa.decimal128(9, 2)),
            "word": pa.array(["x", "x"]).dictionary_encode(),
            "at": pa.array([1_000_000_123, None], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    found = collect(files("things", str(tmp_path / "a.parquet")))
    assert found.summary["columns"] == {
        "small": "int", "big": "long", "money": "double", "word": "string", "at": "timestamp",
    }  # fmt: skip
    assert found.rows[0] == {
        "small": 1, "big": 2, "money": 1.1, "word": "x", "at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    }  # fmt: skip


def test_a_header_alone_has_columns_and_no_rows() -> None:
    """A file with nothing but its header gives one batch without rows, so that its columns are known."""
    batches = list(csv_reader.read_csv(io.BytesIO(b"a,b\n"), "x.csv", []))
    assert [(batch.rows.schema.names, batch.rows.num_rows) for batch in batches] == [(["a", "b"], 0)]
