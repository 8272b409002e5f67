"""The demo as a command: what goes wrong ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import __main__ as demo


def test_data_that_cannot_be_written_ends_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data is laid out beside the start of the services: where that fails, no run starts without data."""
    var = tmp_path / "var"
    var.write_text("a file where the folder should be")
    monkeypatch.setenv("PENSTOCK_VAR", str(var))
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(demo, "_penstock", lambda *arguments: commands.append(arguments) or 0)
    with pytest.raises(OSError, match=str(var)):
        demo.main()
    assert commands == [("up",)]
