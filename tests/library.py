"""A library that neither a room nor this environment has, as the lock of a pipeline or of a step; and a step that needs it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

LIBRARY = "haversine"
LOCK = f"""{LIBRARY}==2.9.0 \\
    --hash=sha256:1103d7e1f0f108c25b31b63452c54d9d6f29389a70de7dd75fd4b908329b6fcf \\
    --hash=sha256:d32031b6b4232e37764730a781a3b8cb248710f92aca6f553b8097524420754d
"""
#: The step's name, and what it adds to each answer.
STEP, GIVEN = "far", {"far_km": 392.0}
#: Its files by their place in a project, and so in a package.
FILES = {
    f"steps/{STEP}/requirements.txt": LOCK,
    f"steps/{STEP}/step.py": f'''"""How far Paris is from Lyon."""

from {LIBRARY} import {LIBRARY}

TAKES = {{}}
GIVES = {{"far_km": "double"}}
EXAMPLES = [({{}}, {GIVEN})]


def run(record):
    return {{"far_km": round({LIBRARY}((45.7597, 4.8422), (48.8567, 2.3508)), 0)}}
''',
}


def add_step(root: Path) -> None:
    """Lay the step into a project."""
    assert find_spec(LIBRARY) is None
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
