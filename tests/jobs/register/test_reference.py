"""The reference row is the usual record of training, in the types of the function's inputs."""

from __future__ import annotations

import pytest

from jobs.register.reference import row

COLUMNS = {
    "id": {"role": "id", "type": "long", "nulls": 0},
    "carrier": {"type": "string", "top": [["AA", 9], ["DL", 3]]},
    "holiday": {"type": "boolean", "top": [["false", 10], ["true", 2]]},
    "late": {"type": "boolean", "top": [["true", 7]]},
    "seats": {"type": "long", "quantiles": {"0.4": 120, "0.5": 150}},
    "distance": {"type": "double", "quantiles": {"0.5": 0.0}},
    "gone": {"type": "double", "quantiles": None},
    "blank": {"type": "string", "top": []},
}


@pytest.mark.parametrize(
    ("name", "usual"),
    [("carrier", "AA"), ("holiday", False), ("late", True), ("seats", 150), ("distance", 0.0), ("gone", None), ("blank", None)],
)  # fmt: skip
def test_each_type_has_its_usual_value(name: str, usual: object) -> None:
    """Medians of numbers, most frequent categories, null where nothing else was seen."""
    found = row(COLUMNS, [{"name": name, "type": COLUMNS[name]["type"]}])
    assert found == {name: usual}
    assert type(found[name]) is type(usual)
