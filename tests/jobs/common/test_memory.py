"""How memory is shared out between the JVM and Python."""

from __future__ import annotations

import pytest

from jobs.common.memory import heap_of


@pytest.mark.parametrize(("memory", "heap"), [("2Gi", 1228), ("1536Mi", 921), ("256Mi", 512)])
def test_the_heap_leaves_room_for_python(memory: str, heap: int) -> None:
    """The JVM's heap is a part of the memory, never too small for Spark."""
    assert heap_of(memory) == heap
