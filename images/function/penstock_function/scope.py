"""What our server notes in the ASGI scope of a request, where another one may serve it without."""

from __future__ import annotations

from typing import Final

#: That it is whole: its body is there, and need not be waited for.
WHOLE: Final = "penstock.whole"
