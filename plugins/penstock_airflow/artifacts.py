"""Reports and Data Docs of the store, served by Airflow's server to those who may read the pipeline's DAG."""

from __future__ import annotations

import mimetypes

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Response

from penstock import settings
from penstock.store import Store

#: The stages whose pages people look at, with the folder or file of theirs that may be seen.
PAGES = {"validate": "docs", "validate_model": "report.html"}

app = FastAPI(title="Penstock", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/artifacts/{pipeline}/{stage}/{key}/{attempt}/{path:path}")
def artifact(pipeline: str, stage: str, key: str, attempt: str, path: str, user: GetUserDep) -> Response:
    """A page of a stage. Airflow mounts plugin apps without authentication: the user is checked here."""
    allowed = get_auth_manager().is_authorized_dag(method="GET", details=DagDetails(id=pipeline), user=user)
    if not allowed:
        raise HTTPException(403, f"not allowed to read the DAG {pipeline}")
    parts = path.split("/")
    if PAGES.get(stage) != parts[0] or any(part in ("", ".", "..") for part in (*parts, key, attempt)):
        raise HTTPException(404, "no such page")
    try:
        data = Store(settings.load().store).read_bytes(f"{pipeline}/{stage}/{key}/{attempt}/{path}")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise HTTPException(404, "no such page: the artifact was removed, or never written") from None
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    # Pages of data that others wrote get no rights on Airflow's own origin.
    return Response(data, media_type=kind, headers={"Content-Security-Policy": "sandbox allow-scripts"})
