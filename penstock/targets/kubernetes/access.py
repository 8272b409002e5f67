"""How the API server is reached: as the pod's own service account, or as a kubeconfig says.

A kubeconfig is read by the library kubernetes, which knows what plugins clouds have for it. It is 41 MB and takes two
seconds to import, so a pod, which needs none of it, does without.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from penstock.targets import TargetError

_KUBECONFIG: Final = "KUBECONFIG"
#: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Access:
    """The server's URL, whom it is known by and, for each request anew, the token that we are known by, if any."""

    server: str
    tls: ssl.SSLContext = field(repr=False)
    token: Callable[[], str | None] = field(repr=False)


def find() -> Access:
    """By KUBECONFIG where it is set, else as the pod that this is, else by ~/.kube/config. Raises TargetError."""
    if not os.environ.get(_KUBECONFIG) and (_ACCOUNT / "token").exists():
        return _of_pod()
    return _of_kubeconfig()


def _of_pod() -> Access:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise TargetError(
            "KUBERNETES_SERVICE_HOST and _PORT do not say where the cluster's API server is",
            next_step="leave them as the cluster sets them",
        )

    def token() -> str:  # it is changed every hour or so
        return (_ACCOUNT / "token").read_text("ascii").strip()

    address = f"[{host}]" if ":" in host else host
    return Access(f"https://{address}:{port}", _trusting(str(_ACCOUNT / "ca.crt")), token)


def _of_kubeconfig() -> Access:
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise TargetError(
            f"a kubeconfig is read by the library kubernetes, which is not here: {error}",
            next_step=f"in a pod leave {_KUBECONFIG} unset, and give it a service account",
        ) from error
    found = client.Configuration()
    # By name: the library looks at the variable once, when it is imported.
    where = os.environ.get(_KUBECONFIG) or str(Path.home() / ".kube" / "config")
    try:
        config.load_kube_config(where, client_configuration=found)
    except (config.ConfigException, OSError, ValueError) as error:
        raise TargetError(f"no cluster is known: {error}", next_step=f"see {_KUBECONFIG}") from error
    if not found.verify_ssl or not found.host.startswith("https://"):
        raise TargetError(
            f"the kubeconfig does not check who {found.host} is",
            next_step="give it the cluster's certificate-authority-data",
        )
    tls = _trusting(found.ssl_ca_cert)
    if found.cert_file:
        tls.load_cert_chain(found.cert_file, found.key_file)

    def token() -> str | None:
        told = found.get_api_key_with_prefix("BearerToken", alias="authorization")
        return None if told is None else str(told).removeprefix("Bearer ")

    return Access(found.host.rstrip("/"), tls, token)


def _trusting(authority: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise TargetError(
            f"the cluster's certificate authority {authority} cannot be read: {error}",
            next_step="see the service account's folder, or the kubeconfig",
        ) from error
