"""Broken input: each is a DataError that names the file, the place and what to do; nothing is written."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock import files
from penstock.errors import DataError
from tests.jobs.collect.conftest import Collect
from tests.jobs.driver import Driver

#: Rows that do not compress well, so that half a file holds some of them.
LINES = "n,k\n" + "".join(f"{i},{random.Random(i).random()}\n" for i in range(20_000))


Refused = Callable[[dict[str, object], str], DataError]


@pytest.fixture
def refused(collect: Collect, driver: Driver) -> Refused:
    """Collects a source that must be refused in these words, before anything of it reaches the store."""

    def check(source: dict[str, object], words: str) -> DataError:
        with pytest.raises(DataError, match=words) as caught:
            collect(source)
        assert caught.value.next_step
        assert driver.store.names(driver.pipeline) == []
        return caught.value

    return check


def test_a_missing_declared_column(refused: Refused, tmp_path: Path) -> None:
    """The column, the likely new name, and all columns there are, are named."""
    (tmp_path / "a.csv").write_text("origin,departure_delay\nJFK,1\n")
    source = files("flights", str(tmp_path / "a.csv"), columns={"dep_delay": "double"})
    refused(
        source,
        r"source 'flights' has no column 'dep_delay' \(is it 'departure_delay' now\?\); its columns are origin, dep",
    )


def test_a_missing_time_column(refused: Refused, tmp_path: Path) -> None:
    """The time column is always declared."""
    (tmp_path / "a.csv").write_text("origin\nJFK\n")
    refused(files("flights", str(tmp_path / "a.csv"), time="time_hour"), "has no column 'time_hour'")


def test_a_column_that_only_some_files_have(refused: Refused, tmp_path: Path) -> None:
    """A column renamed half-way through the interval does not become two columns full of holes."""
    (tmp_path / "1.csv").write_text("n,delay\n1,2\n")
    (tmp_path / "2.csv").write_text("n,dep_delay\n1,2\n")
    refused(
        files("flights", str(tmp_path / "*.csv")),
        r"2\.csv has other columns than .*1\.csv: without delay, with dep_delay",
    )


def test_a_column_of_the_wrong_type(refused: Refused, tmp_path: Path) -> None:
    """File, row and value of the first that does not fit are named, in whichever file it is."""
    (tmp_path / "1.csv").write_text("seats\n100\n")
    (tmp_path / "2.csv").write_text("seats\n80\nNA\nmany\n90\nfew\n")
    refused(
        files("planes", str(tmp_path / "*.csv"), columns={"seats": "long"}),
        r"2\.csv, row 3, column 'seats': found 'many', expected a whole number of at most 64 bits \(long\)",
    )


@pytest.mark.parametrize(
    ("value", "type_"),
    [("1.5", "long"), ("0x10", "long"), ("3000000000", "int"), ("yes", "boolean"), ("2013-13-01", "date")],
)
def test_values_are_not_bent_into_a_type(refused: Refused, tmp_path: Path, value: str, type_: str) -> None:
    """What would lose or invent something is refused."""
    (tmp_path / "a.csv").write_text(f"v\n{value}\n")
    refused(
        files("x", str(tmp_path / "a.csv"), columns={"v": type_}),
        f"row 1, column 'v': found '{value}'",
    )


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst", "zip"])
def test_a_truncated_file(refused: Refused, tmp_path: Path, ending: str) -> None:
    """Half a compressed file is named; the rows before the cut are not taken for all of them."""
    path = tmp_path / f"a.csv.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", LINES)
    else:
        pack = {
            "gz": gzip.compress,
            "bz2": bz2.compress,
            "xz": lzma.compress,
            "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
        }[ending]
        path.write_bytes(pack(LINES.encode()))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(files("x", str(path)), rf"a\.csv\.{ending} is broken or cut off")


def test_a_zip_whose_content_is_damaged(refused: Refused, tmp_path: Path) -> None:
    """The archive's checksum is checked; the member is named."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.csv", LINES)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    refused(files("x", str(path)), r"a\.zip:a\.csv is broken or cut off: Bad CRC")


def test_a_file_that_is_not_what_its_name_says(refused: Refused, tmp_path: Path) -> None:
    """A web page saved as gzip, zip or Parquet is named."""
    for name in ("a.csv.gz", "a.zip", "a.parquet"):
        (tmp_path / name).write_text("<html>not found</html>")
        refused(files("x", str(tmp_path / name)), rf"{name} is (broken|no whole Parquet)")


def test_a_truncated_parquet_file(refused: Refused, tmp_path: Path) -> None:
    """A Parquet file without its end has no schema: it is named."""
    pq.write_table(pa.table({"n": range(1000)}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    refused(files("x", str(tmp_path / "a.parquet")), r"a\.parquet is no whole Parquet file")


def test_text_in_another_encoding(refused: Refused, tmp_path: Path) -> None:
    """Latin-1 is not guessed: file, row, column and the bytes are named."""
    (tmp_path / "a.csv").write_bytes("n,city\n1,Bern\n2,Zürich\n".encode("latin-1"))
    refused(
        files("x", str(tmp_path / "a.csv")),
        r"a\.csv, row 2, column 'city': b'Z\\xfcrich' is not UTF-8",
    )


def test_names_in_another_encoding(refused: Refused, tmp_path: Path) -> None:
    """UTF-16, as spreadsheets export it, fails at the header."""
    (tmp_path / "a.csv").write_bytes("n,city\n1,Bern\n".encode("utf-16"))
    refused(files("x", str(tmp_path / "a.csv")), r"the first line of .*a\.csv is not UTF-8")


def test_a_row_with_too_few_fields(refused: Refused, tmp_path: Path) -> None:
    """A row that ends early is named by its number in the file."""
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3\n")
    refused(files("x", str(tmp_path / "a.csv")), r"a\.csv is not CSV .*Row #2: Expected 2 columns, got 1")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("a,b,a", "'a' is there 2 times"),
        ("a,,b", "number 2 has no name"),
        ("", "is empty: expected a first line"),
    ],
)
def test_a_header_that_names_no_clear_columns(
    refused: Refused, tmp_path: Path, header: str, words: str
) -> None:
    """Columns twice, without a name, or no header at all."""
    (tmp_path / "a.csv").write_text(header)
    refused(files("x", str(tmp_path / "a.csv")), words)


@pytest.mark.parametrize(
    ("line", "words"),
    [('{"n": 1', "line 2 is not JSON"), ("[1, 2]", "line 2 holds a list: expected an object")],
)
def test_a_line_that_is_no_json_object(refused: Refused, tmp_path: Path, line: str, words: str) -> None:
    """The line is named by its number."""
    (tmp_path / "a.jsonl").write_text(f'{{"n": 1}}\n{line}\n')
    refused(files("x", str(tmp_path / "a.jsonl")), words)


def test_a_folder_is_no_file(refused: Refused, tmp_path: Path) -> None:
    """A folder asks for a pattern."""
    assert "/*.csv" in str(refused(files("x", str(tmp_path)), "is a folder"))


def test_a_name_without_a_format(refused: Refused, tmp_path: Path) -> None:
    """The known endings are listed, and how to declare a format."""
    (tmp_path / "a.xlsx").write_text("n\n1\n")
    assert 'format="csv"' in str(refused(files("x", str(tmp_path / "a.xlsx")), "is not clear from its name"))


def test_nested_parquet_cannot_be_kept(refused: Refused, tmp_path: Path) -> None:
    """A list column is named with its type."""
    pq.write_table(pa.table({"tags": [["x"], []]}), tmp_path / "a.parquet")
    refused(files("x", str(tmp_path / "a.parquet")), "column 'tags' is of type list")
