"""How the host says no: an error that knows its HTTP status."""

from __future__ import annotations

from starlette.responses import JSONResponse

from penstock.durable import no_room
from penstock.errors import PenstockError


class HostError(PenstockError):
    """A request that the host does not grant: answered with `status` and, where waiting helps, `retry_after` s."""

    kind = "host"

    def __init__(
        self, status: int, message: str, *, next_step: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.status = status
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Those of its answer."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def response(self) -> JSONResponse:
        """Its answer."""
        headers = self.headers
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in (401, 408, 413):
            # The body was not read to its end: what follows on this connection is not the next request.
            headers["Connection"] = "close"
        return JSONResponse({"error": self.message, "next_step": self.next_step}, self.status, headers)


def storage_error(error: OSError, doing: str) -> HostError:
    """The answer to a failed write: 507 for a full disk, quota or file-size limit, 500 for anything else."""
    if no_room(error):
        return HostError(
            507,
            f"no room left while {doing}: {error.strerror}",
            next_step="free disk space below the host's state folder, then repeat the request",
        )
    return HostError(
        500, f"{error} while {doing}", next_step="check permissions and health of the host's state folder"
    )
