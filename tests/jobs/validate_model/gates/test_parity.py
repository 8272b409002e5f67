"""Gate 5: the package's answers against Spark's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.validate_model.gates.parity import Difference, gate
from penstock.spec.gates import ParityGate


def found(largest: float, fault: str | None = None) -> Difference:
    return Difference(1000, 50, largest, "prediction of row 'a': 1.0 where Spark gave 2.0", fault)


def test_within_the_tolerance_it_passes() -> None:
    """At the tolerance it still passes, above it does not, and the row is named."""
    assert gate(ParityGate(), found(1e-6)).passed
    refused = gate(ParityGate(), found(1.1e-6))
    assert not refused.passed
    assert "row 'a': 1.0 where Spark gave 2.0" in refused.why


@given(
    largest=st.floats(0, 1e3) | st.just(float("inf")),
    tolerances=st.tuples(st.floats(1e-12, 1e3), st.floats(1e-12, 1e3)).map(sorted),
    fault=st.none() | st.just("sample 3 does not prove the model"),
)
def test_who_passes_passes_with_more_tolerance(
    largest: float, tolerances: list[float], fault: str | None
) -> None:
    """The verdict is monotone in the tolerance, and no tolerance lets an unproved sample pass."""
    strict, lax = (gate(ParityGate(tolerance=each), found(largest, fault)).passed for each in tolerances)
    assert strict <= lax
    assert strict is (fault is None and largest <= tolerances[0])


def test_a_sample_that_is_not_proved_refuses() -> None:
    """The samples hold nulls and unseen categories, which the holdout may not."""
    refused = gate(ParityGate(), found(0.0, "sample 3 does not prove the model"))
    assert not refused.passed
    assert refused.why == "sample 3 does not prove the model"


def test_a_missing_answer_refuses() -> None:
    """An answer where Spark has none, or none where Spark has one, is an infinite difference."""
    assert not gate(ParityGate(tolerance=1e9), found(float("inf"))).passed


def test_off_it_passes_and_says_so() -> None:
    """A gate that the spec switched off is there, passed, and marked."""
    result = gate(None, found(9.9))
    assert (result.passed, result.off) == (True, True)
