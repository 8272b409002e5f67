"""What a query may name, told without SQLAlchemy as SQLAlchemy sees it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from penstock.spec.templates import query_fault


@pytest.mark.parametrize(
    "query",
    [
        "select * from t where at >= :start and at < :end",
        "select at::date, '12:30' from t where at > :since",
        r"select '\:kept', a[1:2] from t where x = :x and y = :start2",
        "select ':within' from t -- :comment",
        "select array[[1,2],[3,4]], '{{1,2},{3,4}}' from t",
    ],
)
def test_parameters_are_those_of_sqlalchemy(query: str) -> None:
    """Casts, escaped colons, times and slices are no parameters; whatever SQLAlchemy would bind is one."""
    unknown = sorted(set(sa.text(query).compile().params) - {"start", "end"})
    fault = query_fault(query)
    assert (fault is None) == (not unknown)
    assert fault is None or fault.startswith(f"names :{', :'.join(unknown)};")
