"""Whole numbers that somebody else wrote."""

from __future__ import annotations


def whole(text: str) -> int | None:
    """The number that ASCII digits are, zeros before it among them; None where the text is anything else.

    One of more than 17 digits is cut: it stays beyond any bound, and no text takes long to read.
    """
    return int(text.lstrip("0")[:17] or 0) if text.isascii() and text.isdigit() else None
