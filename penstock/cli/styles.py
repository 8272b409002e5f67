"""How states and numbers look, the same in every table."""

from __future__ import annotations

STATE_STYLE = {
    "ran": "green", "reused": "cyan", "refused": "yellow", "skipped": "yellow", "failed": "bold red",
    "running": "blue", "interrupted": "bold red", "succeeded": "green",
}  # fmt: skip


def state(name: str) -> str:
    """A state in its colour, as rich markup."""
    return f"[{STATE_STYLE[name]}]{name}[/]"


def seconds(value: float) -> str:
    return f"{value:.1f} s"


def size(count: int) -> str:
    """Bytes for people: 1 MB is 1e6 bytes."""
    value = float(count)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
