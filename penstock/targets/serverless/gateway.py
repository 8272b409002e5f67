"""How a function behind an ingress is asked: at the URL that its platform gives it."""

from __future__ import annotations

from typing import Final

import httpx

from penstock.targets import TargetError
from penstock.targets.kubernetes.settings import GATEWAY

#: A function that has no pod is asked once one has come.
SECONDS: Final = 120.0
_CONNECT_SECONDS: Final = 10.0


class Gateway:
    """The ingress: `address` is where requests go, whichever host they are for; None where the hosts are found by their names."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        # A connection that is kept would lead to where the function was.
        self._client = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))

    def ask(
        self, url: str, path: str, body: bytes | None = None, *, seconds: float = SECONDS
    ) -> httpx.Response:
        """What is answered at `url` to a GET, or to a POST of the JSON `body`, be it a refusal. Raises TargetError."""
        try:
            found = httpx.URL(url)
            return self._client.request(
                "GET" if body is None else "POST",
                f"{self._place(url)}/{path}",
                content=body,
                timeout=httpx.Timeout(seconds, connect=_CONNECT_SECONDS),
                headers={
                    "Host": found.netloc.decode(),
                    **({} if body is None else {"Content-Type": "application/json"}),
                },
                # The certificate is the host's, wherever the gateway is.
                extensions={"sni_hostname": found.host},
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            by = f" by {self._address}" if self._address else ""
            raise TargetError(
                f"{url} did not answer{by}: {error or type(error).__name__}",
                next_step=f"see that it is reached from here, or set {GATEWAY} to the address of the ingress",
            ) from error

    def curl(self, url: str) -> str:
        """The command that asks /predict at `url`."""
        host = f" -H 'Host: {httpx.URL(url).netloc.decode()}'" if self._address else ""
        return f"curl -s{host} {self._place(url)}/predict"

    def _place(self, url: str) -> str:
        return (self._address or url).rstrip("/")
