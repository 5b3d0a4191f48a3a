"""Quality reports in the browser: a page of Airflow's web server that hands on what a commit in the lake holds.

Reports are files of the lake, where no browser is logged in. Whoever may see the task in Airflow may see its reports.
A report is shown as a document of nobody's origin that runs no scripts and loads nothing.
"""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from slipway.errors import ConfigurationError, LakeNotFoundError, SlipwayError, UnavailableError
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from slipway.stages.gate import PAGE, report_folder
from slipway_airflow import connections
from slipway_airflow.addresses import sign_in
from slipway_airflow.report_link import address

HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # A commit's objects never change, but who may read them does.
    "Cache-Control": "private, max-age=300",
}

app = FastAPI(title="Slipway's quality reports", docs_url=None, redoc_url=None, openapi_url=None)

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{1,40}$")]


@app.exception_handler(401)
def log_in_first(request: Request, refusal: HTTPException) -> Response:
    """Send a browser that is not logged in to Airflow's login, and back here afterwards."""
    if "text/html" in request.headers.get("accept", ""):
        # Not the request's own URL: behind a proxy that is not the one the browser knows.
        asked = request.path_params
        path = f"{report_folder(asked['dataset'], asked['partition'])}/{PAGE}"
        return RedirectResponse(sign_in(address(asked["dag_id"], asked["commit"], path)), status_code=303)
    return JSONResponse({"detail": refusal.detail}, status_code=401)


@app.get(
    "/{dag_id}/{commit}/_quality/{dataset}/date={partition}/report.html",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))],
)
def report(
    dag_id: Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{1,40}\.ingest$")],
    commit: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
    dataset: Name,
    partition: Annotated[str, Path(pattern=r"^\d{4}-\d{2}-\d{2}$")],
) -> Response:
    """The report of one dataset and partition, as it is in a commit of the pipeline's repository."""
    try:
        pipeline = find_pipeline(settings().pipelines, dag_id.removesuffix(".ingest"))
        uri = LakeUri(pipeline.repository, commit, f"{report_folder(dataset, partition)}/{PAGE}")
        # Opened anew: the web server outlives a change of the connection.
        page = Lake(connections.lake_server()).get(uri)
    except (ConfigurationError, LakeNotFoundError) as error:
        raise HTTPException(404, f"there is no such report: {error}") from error
    except UnavailableError as error:
        raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from error
    except SlipwayError as error:
        raise HTTPException(502, str(error)) from error
    return Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)
