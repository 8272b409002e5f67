"""Nothing reports usage to the makers of what we build on.

Each library reads its switch while it is imported, or starts, so a process of ours sets them all before that:
`jobs` when it is imported, the registry before it loads MLflow, the services in what they start. The function
runtime stands alone and sets its own.
"""

from __future__ import annotations

import os
from typing import Final

#: MLflow, whoever else honours DO_NOT_TRACK, and ONNX Runtime (its Privacy.md). Great Expectations reports nothing.
OFF: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "ORT_DISABLE_TELEMETRY": "1",
}


def switch_off() -> None:
    """Turn reporting off in this process and what it starts; call it before such a library is imported."""
    os.environ.update(OFF)
