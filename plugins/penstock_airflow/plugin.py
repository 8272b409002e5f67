"""What Penstock adds to Airflow's server: pages of artifacts, and notes on runs."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from penstock_airflow import listener


def _apps() -> list[dict[str, Any]]:
    from penstock_airflow.artifacts import app

    return [{"app": app, "url_prefix": "/penstock", "name": "Penstock"}]


class PenstockPlugin(AirflowPlugin):
    """Found by entry point."""

    name = "penstock"
    fastapi_apps = _apps()
    listeners = [listener]
