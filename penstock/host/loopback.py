"""Names of loopback: a page of another site whose name was re-bound to 127.0.0.1 sends its own."""

from typing import Final

#: What a server on loopback answers to.
LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]", "::1")
