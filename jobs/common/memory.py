"""How a pod's or process's memory is shared out between the JVM and Python."""

from __future__ import annotations

#: The part that the JVM's heap gets; the rest is for Python and what the JVM needs besides.
HEAP = 0.6
_LEAST_HEAP = 512


def mebibytes(memory: str) -> int:
    """Memory in Kubernetes' notation (`2Gi`, `512Mi`)."""
    return int(memory[:-2]) * {"Mi": 1, "Gi": 1024}[memory[-2:]]


def heap_of(memory: str) -> int:
    """The JVM's heap in MiB."""
    return max(_LEAST_HEAP, int(mebibytes(memory) * HEAP))
