"""Files: every format and compression gives the same table, wherever fsspec finds them."""

from __future__ import annotations

import bz2
import gzip
import http.server
import json
import lzma
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock import files

ROWS = [{"k": "a", "n": 1, "x": 0.5}, {"k": "b", "n": None, "x": -2.0}, {"k": None, "n": 3, "x": None}]
CSV = b'k,n,x\n"a",1,0.5\nb,NA,-2.0\n,3,\n'


def _zipped(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.csv", data)
        archive.writestr("__MACOSX/inside.csv", b"not data")


WRITERS: dict[str, Callable[[Path, bytes], object]] = {
    "csv": lambda path, data: path.write_bytes(data),
    "csv.gz": lambda path, data: path.write_bytes(gzip.compress(data)),
    "csv.bz2": lambda path, data: path.write_bytes(bz2.compress(data)),
    "csv.xz": lambda path, data: path.write_bytes(lzma.compress(data)),
    "csv.zst": lambda path, data: path.write_bytes(pa.compress(data, codec="zstd", asbytes=True)),
    "csv.zip": _zipped,
}


@pytest.mark.parametrize("ending", WRITERS)
def test_a_compressed_csv_is_read_as_it_is_inside(collect, tmp_path: Path, ending: str) -> None:
    """Plain, gzip, bzip2, xz, zstd and zip hold the same rows, with quotes and null tokens understood."""
    WRITERS[ending](tmp_path / f"a.{ending}", CSV)
    found = collect(files("things", str(tmp_path / "*.csv*")))
    assert found.rows == ROWS
    assert found.summary["columns"] == {"k": "string", "n": "long", "x": "double"}
    assert found.summary["nulls"] == {"k": 1, "n": 1, "x": 1}


def test_all_formats_give_the_same_content(collect, tmp_path: Path) -> None:
    """CSV, JSON lines and Parquet of the same rows have one and the same digest."""
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    found = [
        collect(files("things", str(tmp_path / f"a.{ending}"))) for ending in ("csv", "jsonl", "parquet")
    ]
    assert [each.rows for each in found] == [ROWS] * 3
    assert len({each.digest for each in found}) == 1


def test_a_declared_format_wins_over_the_name(collect, tmp_path: Path) -> None:
    """A file whose name says nothing is read as declared."""
    (tmp_path / "export").write_bytes(CSV)
    assert collect(files("things", str(tmp_path / "export"), format="csv")).rows == ROWS


def test_a_pattern_reads_its_files_in_the_order_of_their_names(collect, tmp_path: Path) -> None:
    """All files of a pattern are one table; files in folders below are left to patterns that name them."""
    for name, value in (("b", 2), ("a", 1), ("c", 3)):
        (tmp_path / f"{name}.csv").write_text(f"n\n{value}\n")
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "d.csv").write_text("n\n4\n")
    assert [row["n"] for row in collect(files("things", str(tmp_path / "*.csv"))).rows] == [1, 2, 3]


def test_columns_in_another_order_are_the_same_columns(collect, tmp_path: Path) -> None:
    """The files of a source may order their columns as they like; the first one's order counts."""
    (tmp_path / "a.csv").write_text("n,k\n1,x\n")
    (tmp_path / "b.csv").write_text("k,n\ny,2\n")
    assert collect(files("things", str(tmp_path / "*.csv"))).rows == [{"n": 1, "k": "x"}, {"n": 2, "k": "y"}]


def test_fields_may_hold_separators_quotes_and_line_ends(collect, tmp_path: Path) -> None:
    """RFC 4180: what is quoted is one value."""
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbf"a b",t\r\n"x,\r\ny","say ""hi"""\r\n')
    assert collect(files("things", str(tmp_path / "a.csv"))).rows == [{"a b": "x,\r\ny", "t": 'say "hi"'}]


def test_null_tokens_are_declared(collect, tmp_path: Path) -> None:
    """With null= other texts are null, and the default ones are text again."""
    (tmp_path / "a.csv").write_text("k,n\nNA,-\n-,2\n")
    found = collect(files("things", str(tmp_path / "a.csv"), null=["-"]))
    assert found.rows == [{"k": "NA", "n": None}, {"k": None, "n": 2}]


def test_json_lines_may_leave_keys_out_and_nest(collect, tmp_path: Path) -> None:
    """A missing key is null, in whichever line a key first appears; nested values are JSON text."""
    (tmp_path / "a.ndjson").write_text('{"n": 1}\n\n{"tags": ["x"], "n": NaN}\n')
    found = collect(files("things", str(tmp_path / "a.ndjson"), columns={"n": "double"}))
    assert found.rows == [{"n": 1.0, "tags": None}, {"n": None, "tags": '["x"]'}]


def test_files_of_another_filesystem(collect) -> None:
    """Any URI of fsspec is a source: here one in memory."""
    with fsspec.open("memory://bucket/things/a.csv", "wb") as file:
        file.write(CSV)
    assert collect(files("things", "memory://bucket/things/*.csv")).rows == ROWS


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server over the test's folder."""
    handler = partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_files_over_http(collect, tmp_path: Path, web: str) -> None:
    """A web address, with a query that is no pattern, is read and decompressed."""
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(CSV))
    assert collect(files("things", f"{web}/a.csv.gz?version=2")).rows == ROWS


def test_a_missing_web_page_is_no_file(collect, web: str) -> None:
    """404 is an answer: for a source with time it is an empty interval."""
    assert collect(files("things", f"{web}/none.csv", time="at")).summary["rows"] == 0
