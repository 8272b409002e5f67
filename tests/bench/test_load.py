"""What a latency is at a constant rate."""

from __future__ import annotations

import numpy as np
import pytest

from bench.serving.load import since_due

RATE = 1000
MS = 10**6


def test_in_time() -> None:
    """A request that was sent when it was due took what it took, however late the first of them began."""
    sent = 7 * MS + MS * np.arange(5)
    took = np.array([1, 2, 3, 2, 1]) * MS
    assert since_due(sent, took, RATE) == pytest.approx([0.001, 0.002, 0.003, 0.002, 0.001])


def test_late() -> None:
    """Requests that a stall kept from being sent have waited since they were due."""
    sent = np.array([0, 1, 4, 4, 4, 5]) * MS
    took = np.full(6, MS)
    assert since_due(sent, took, RATE) == pytest.approx([0.001, 0.001, 0.003, 0.002, 0.001, 0.001])
