"""How models were made, in the browser: pages of Airflow's web server over the ledger.

Whoever may see the tasks of a pipeline's DAGs may see its pages. Nothing is written, and every page says of every
statement whether it verifies.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.xcom import XComModel
from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from slipway.errors import (
    ConfigurationError,
    ReleaseError,
    SlipwayError,
    UnavailableError,
    UnknownDeviceError,
    UnrecordedError,
)
from slipway.ledger.audit import ask
from slipway.ledger.audit.records import LedgerRecords
from slipway.ledger.inspection import Inspection, Seen
from slipway.ledger.pages.commit import commit_page
from slipway.ledger.pages.device import device_page
from slipway.ledger.pages.document import HEADERS, message
from slipway.ledger.pages.links import Links
from slipway.ledger.pages.overview import (
    Versions,
    champion_of,
    choice_page,
    decision_page,
    overview_page,
    pipeline_page,
)
from slipway.ledger.pages.statement import Around, statement_page
from slipway.ledger.pages.version import partitions_page, version_page
from slipway.ledger.store import Ledger
from slipway.pipeline.project import readable_pipelines
from slipway.release.fleet_history import Ran
from slipway.release.gateway_client import GatewayClient
from slipway.settings import settings
from slipway_airflow import connections
from slipway_airflow.addresses import provenance, sign_in
from slipway_airflow.page_access import may_see, require_sight
from slipway_airflow.page_search import meant
from slipway_airflow.plugin import PROVENANCE
from slipway_airflow.reuse_note import KEY

_OVERVIEW, _PAGE = 8, 50
"""Versions of a pipeline on the page of all pipelines, and on its own."""
_USERS = 30
_BELIEVED = 5
"""Completed releases among which the newest that verifies is looked for."""

app = FastAPI(title="Slipway's provenance", docs_url=None, redoc_url=None, openapi_url=None)

Pipeline = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{1,40}$")]
Version = Annotated[str, Path(min_length=1, max_length=200)]
Commit = Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$")]
Device = Annotated[str, Path(min_length=1, max_length=200)]
Name = Annotated[str, Path(max_length=250)]
Fingerprint = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


@app.exception_handler(AnyHTTPException)
def refused(request: Request, refusal: AnyHTTPException) -> Response:
    """A page for people, JSON for programs; a browser that is not logged in goes to the login, and comes back."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)
    if refusal.status_code == 401:
        # Not the request's own URL: behind a proxy that is not the one the browser knows.
        path = quote(request.scope["path"].split(PROVENANCE, 1)[-1])
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(sign_in(f"{provenance()}{path}{query}"), status_code=303)
    titles = {403: "Not for you", 404: "Not found", 503: "Not available now"}
    page = message(titles.get(refusal.status_code, "That did not work"), str(refusal.detail), page_links())
    return Response(page, refusal.status_code, {**HEADERS, **(refusal.headers or {})}, "text/html")


@app.exception_handler(RequestValidationError)
def misspelt(request: Request, error: RequestValidationError) -> Response:
    """An address that no page can have."""
    said = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return refused(request, HTTPException(404, f"There is no such page: {said}"))


@app.exception_handler(SlipwayError)
def failed(request: Request, error: SlipwayError) -> Response:
    """What the ledger or the gateway answered instead."""
    if isinstance(error, UnavailableError):
        return refused(request, HTTPException(503, str(error), headers={"Retry-After": "5"}))
    unknown = isinstance(error, UnrecordedError | UnknownDeviceError)
    return refused(request, HTTPException(404 if unknown else 502, str(error)))


def page_links() -> Links:
    """Where the links of a page lead."""
    return Links(provenance(), mlflow=connections.mlflow_pages(), lakefs=connections.lake_pages())


def inspection(_user: GetUserDep) -> Inspection:
    """The ledger, for somebody who is logged in; opened anew, since connections change while the server runs."""
    return Inspection(Ledger(connections.ledger_server()))


Inspected = Annotated[Inspection, Depends(inspection)]


@app.get("/")
def overview(user: GetUserDep, ledger: Inspected) -> Response:
    """Every pipeline this person may see, with its newest versions."""
    seen = [name for name in readable_pipelines(settings().pipelines) if may_see(user, name)]
    return _page(overview_page([_versions(ledger, name, _OVERVIEW) for name in seen], page_links()))


@app.get("/statements/{fingerprint}")
def statement(user: GetUserDep, ledger: Inspected, fingerprint: Fingerprint) -> Response:
    """One statement."""
    found = ledger.claims(fingerprint)
    if not found:
        raise HTTPException(404, f"The ledger has no statement with the fingerprint {fingerprint}.")
    seen = found[0]
    require_sight(user, seen.pipeline)
    users, used = ledger.users(seen, _USERS)
    makers = ledger.makers(seen.statement) if seen.statement else {}
    around = Around(makers, users, used, ledger.earlier(seen), found[1:])
    return _page(statement_page(seen, around, page_links()))


@app.get("/tasks/{dag_id}/{run_id}/{task_id}", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))])
def decision(
    ledger: Inspected,
    session: SessionDep,
    *,
    dag_id: Name,
    run_id: Name,
    task_id: Name,
    map_index: Annotated[int, Query(ge=-1)] = -1,
) -> Response:
    """What a task decided, hit or miss, and why."""
    query = XComModel.get_many(run_id=run_id, key=KEY, dag_ids=dag_id, task_ids=task_id, map_indexes=map_index, limit=1)
    kept = session.scalar(query)
    brief: Any = XComModel.deserialize_value(kept) if kept is not None else None
    task = f"{dag_id} {run_id}, task {task_id}" + (f" [{map_index}]" if map_index >= 0 else "")
    if not isinstance(brief, dict):
        raise HTTPException(404, f"{task} has not decided whether to make something, or was cleared since.")
    made = ledger.begins(str(brief.get("fingerprint")))
    return _page(decision_page(task, brief, made[0] if made else None, page_links()))


@app.get("/find")
def find(user: GetUserDep, ledger: Inspected, q: Annotated[str, Query(max_length=200)]) -> Response:
    """The page that what somebody typed means: a statement, a commit, a version, else a device."""
    asked, links = q.strip(), page_links()
    known = readable_pipelines(settings().pipelines).values()
    found = meant(asked, [one for one in known if may_see(user, one.name)], ledger, links)
    if len(found) > 1:
        return _page(choice_page(asked, found, links))
    return RedirectResponse(found[0][1] if found else links.device(asked), status_code=303)


@app.get("/commits/{commit}")
def commit(user: GetUserDep, ledger: Inspected, commit: Commit) -> Response:
    """What was made of a commit, and which devices run it."""
    try:
        answer = ask.commit(LedgerRecords(ledger.ledger), _fleet(), commit)
    except ConfigurationError as error:
        raise HTTPException(404, str(error)) from error
    known = readable_pipelines(settings().pipelines).values()
    own = {pipeline.name for pipeline in known if pipeline.repository == answer.repository}
    pipelines = own | {one.pipeline for one in answer.versions}
    if not pipelines:
        raise HTTPException(
            404, f"Commit {answer.commit} is of {answer.repository}, which is no pipeline's repository."
        )
    require_sight(user, *sorted(pipelines))
    return _page(commit_page(answer, page_links()))


@app.get("/devices/{device}")
def device(user: GetUserDep, ledger: Inspected, device: Device, at: str | None = None) -> Response:
    """What drove a device at a time (ISO 8601, UTC where it names no zone); now, when none is given."""
    fleet = _fleet()
    answer = ask.device(LedgerRecords(ledger.ledger), fleet, device, _moment(at))
    history = fleet.history(device)
    require_sight(user, *sorted({one.pipeline for one in history}))
    ran = answer.ran
    registered = ledger.about(ran.pipeline, "register", [ran.version]) if ran and ran.version else []
    chain = ledger.chain(registered[0].fingerprint) if registered else []
    flaw = ledger.flaw(chain) if chain else None
    return _page(device_page(answer, history, chain, flaw, page_links()))


@app.get("/{pipeline}")
def versions(user: GetUserDep, ledger: Inspected, pipeline: Pipeline, before: int | None = None) -> Response:
    """The versions of a pipeline, newest first."""
    require_sight(user, pipeline)
    found = _versions(ledger, pipeline, _PAGE, before)
    if not found.registered and pipeline not in readable_pipelines(settings().pipelines):
        raise HTTPException(404, f"There is no pipeline {pipeline}, and the ledger has no version of one.")
    return _page(pipeline_page(found, page_links()))


@app.get("/{pipeline}/versions/{version}")
def version(user: GetUserDep, ledger: Inspected, pipeline: Pipeline, version: Version) -> Response:
    """How a version was made."""
    require_sight(user, pipeline)
    chain = _chain(ledger, pipeline, version)
    devices, silence = _devices_of(pipeline, version)
    page = version_page(
        chain,
        ledger.about(pipeline, "release", [version]),
        page_links(),
        flaw=ledger.flaw(chain),
        champion=champion_of(ledger.completed(pipeline, _BELIEVED)) == version,
        devices=devices,
        silence=silence,
    )
    return _page(page)


@app.get("/{pipeline}/versions/{version}/{stage}")
def partitions(user: GetUserDep, ledger: Inspected, pipeline: Pipeline, version: Version, stage: Pipeline) -> Response:
    """The statements of one stage in the making of a version."""
    require_sight(user, pipeline)
    chain = _chain(ledger, pipeline, version)
    members = [one for one in chain if one.stage == stage]
    if not members:
        raise HTTPException(404, f"Nothing of stage {stage} made version {version} of {pipeline}.")
    return _page(partitions_page(members, chain[0], page_links()))


def _chain(ledger: Inspection, pipeline: str, version: str) -> list[Seen]:
    registered = ledger.about(pipeline, "register", [version])
    if not registered:
        raise HTTPException(404, f"The ledger has no statement of how version {version} of {pipeline} was made.")
    return ledger.chain(registered[0].fingerprint)


def _fleet() -> GatewayClient:
    # One attempt: somebody waits for the page, and can ask again.
    return GatewayClient(connections.channel(), attempts=1)


def _devices_of(pipeline: str, version: str) -> tuple[tuple[Ran, ...] | None, str]:
    """Every time a device ran a version, or why that is not known."""
    try:
        return _fleet().devices_of(pipeline, [version]), ""
    except (UnavailableError, ReleaseError) as error:
        return None, str(error)


def _moment(text: str | None) -> dt.datetime:
    try:
        asked = dt.datetime.fromisoformat(text) if text else dt.datetime.now(dt.UTC)
    except ValueError as error:
        raise HTTPException(400, f"at: expected a time such as 2026-03-01T14:03Z, got {text!r}") from error
    return asked if asked.tzinfo else asked.replace(tzinfo=dt.UTC)


def _versions(ledger: Inspection, pipeline: str, most: int, before: int | None = None) -> Versions:
    registered = ledger.newest(pipeline, "register", most + 1, before)
    shown = registered[:most]
    known = readable_pipelines(settings().pipelines).get(pipeline)
    return Versions(
        pipeline=pipeline,
        title=known.title if known else pipeline,
        registered=shown,
        releases=ledger.about(pipeline, "release", {one.subject for one in shown}),
        champion=champion_of(ledger.completed(pipeline, _BELIEVED)),
        older=len(registered) > most,
    )


def _page(content: bytes) -> Response:
    return Response(content, media_type="text/html; charset=utf-8", headers=HEADERS)
