"""The search space: reproducible points, never twice the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock import Search
from penstock.spec.search import SearchSpace


@given(seed=st.integers(0, 1000), trials=st.integers(1, 12))
def test_random_points_lie_in_the_space(seed: int, trials: int) -> None:
    """Every drawn point takes choices from the list, numbers from the range, and constants as they are."""
    space = SearchSpace.model_validate(
        Search(trials=trials, seed=seed, a=[1, 2, 3], b=(0.1, 0.5), c=(2, 5), d="x")
    )
    points = space.points()
    assert len(points) == trials
    for point in points:
        assert point["a"] in (1, 2, 3)
        assert 0.1 <= point["b"] <= 0.5
        assert point["c"] in (2, 3, 4, 5)
        assert point["d"] == "x"
    assert points == space.points()


def test_small_spaces_give_each_point_once() -> None:
    """More trials than there are points do not try one twice."""
    points = SearchSpace.model_validate(Search(trials=50, a=[1, 2], b=[True, False])).points()
    assert sorted(map(str, points)) == sorted(
        map(str, [{"a": a, "b": b} for a in (1, 2) for b in (True, False)])
    )


def test_grid_is_every_combination() -> None:
    """A grid tries each combination of the choices."""
    points = SearchSpace.model_validate(Search(method="grid", a=[1, 2], b=["x", "y", "z"])).points()
    assert len(points) == 6
