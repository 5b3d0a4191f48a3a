"""Endpoints of the server itself, repositories, branches, tags and branch protection."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from slipway.embedded.lakefs_server import branches, references, staging
from slipway.embedded.lakefs_server.bodies import BranchCreation, ProtectionRules, RepositoryCreation, TagCreation
from slipway.embedded.lakefs_server.references import Kind
from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.wire import Call, answer, page

_VERSION = "1.84.0-slipway"
_STORAGE = {
    "blockstore_type": "local",
    "blockstore_namespace_example": "local://example",
    "blockstore_namespace_ValidityRegex": r"^[a-z][a-z0-9+.-]*://",
    "pre_sign_support": True,
    "pre_sign_support_ui": False,
    "pre_sign_multipart_upload": False,
    "import_support": False,
    "import_validity_regex": "^$",
}


async def _healthcheck(request: Request) -> Response:  # noqa: ARG001 - alive is all it says
    return Response(status_code=204)


async def _setup_state(request: Request) -> Response:  # noqa: ARG001
    return JSONResponse({"state": "initialized"})


def _config(call: Call) -> Response:  # noqa: ARG001
    return JSONResponse({"version_config": {"version": _VERSION}, "storage_config": _STORAGE})


def _version(call: Call) -> Response:  # noqa: ARG001
    return JSONResponse({"version": _VERSION})


def _storage(call: Call) -> Response:  # noqa: ARG001
    return JSONResponse(_STORAGE)


def _user(call: Call) -> Response:
    return JSONResponse({"user": {"id": call.user_id, "creation_date": 0}})


def _show_repository(repository: Repository) -> dict[str, Any]:
    return {
        "id": repository.id,
        "creation_date": repository.created,
        "default_branch": repository.default_branch,
        "storage_namespace": repository.namespace,
        "storage_id": "",
        "read_only": False,
    }


def _list_repositories(call: Call) -> Response:
    prefix, after = call.text("prefix"), call.text("after")
    found = (one for one in call.server.catalog.all() if one.id.startswith(prefix) and one.id > after)
    return page(call, found, _show_repository, "id")


def _create_repository(call: Call) -> Response:
    body = call.body(RepositoryCreation)
    if body.sample_data or body.read_only:
        raise RefusalError(501, "sample_data and read_only are not offered by this server")
    default = body.default_branch or "main"
    created = call.server.catalog.create(body.name, body.storage_namespace, default, call.user_id)
    return JSONResponse(_show_repository(created), 201)


def _get_repository(call: Call) -> Response:
    return JSONResponse(_show_repository(call.repository))


def _delete_repository(call: Call) -> Response:
    call.server.catalog.delete(call["repository"])
    return Response(status_code=204)


def _repository_metadata(call: Call) -> Response:
    call.server.catalog.get(call["repository"])  # 404 without it
    return JSONResponse({})


def _list_names(call: Call, kind: Kind) -> Response:
    with call.repository.database.reading() as connection:
        found = references.names(
            connection,
            kind,
            prefix=call.text("prefix"),
            after=call.text("after"),
            amount=call.amount() + 1,
            hidden=call.flag("show_hidden"),
        )
    return page(call, iter(found), lambda row: {"id": row[0], "commit_id": row[1]}, "id")


def _get_name(call: Call, kind: Kind) -> Response:
    name = call["name"]
    return JSONResponse({"id": name, "commit_id": branches.find(call.repository, kind, name)})


def _list_branches(call: Call) -> Response:
    return _list_names(call, "branch")


def _get_branch(call: Call) -> Response:
    return _get_name(call, "branch")


def _create_branch(call: Call) -> Response:
    body = call.body(BranchCreation)
    created = branches.create_branch(call.repository, body.name, body.source, bool(body.hidden))
    return PlainTextResponse(created, 201)  # the protocol answers with the bare commit id


def _delete_branch(call: Call) -> Response:
    branches.delete_branch(call.repository, call["name"])
    return Response(status_code=204)


def _list_tags(call: Call) -> Response:
    return _list_names(call, "tag")


def _get_tag(call: Call) -> Response:
    return _get_name(call, "tag")


def _create_tag(call: Call) -> Response:
    body = call.body(TagCreation)
    commit_id = branches.create_tag(call.repository, body.id, body.ref)
    return JSONResponse({"id": body.id, "commit_id": commit_id}, 201)


def _delete_tag(call: Call) -> Response:
    branches.delete_tag(call.repository, call["name"])
    return Response(status_code=204)


def _etag(patterns: list[str]) -> str:
    return f'"{hashlib.sha256(json.dumps(patterns).encode()).hexdigest()}"'


def _get_protection(call: Call) -> Response:
    with call.repository.database.reading() as connection:
        patterns = staging.protection(connection)
    return JSONResponse([{"pattern": one} for one in patterns], headers={"ETag": _etag(patterns)})


def _set_protection(call: Call) -> Response:
    rules = Call(call.server, call.request, {"rules": call.data}).body(ProtectionRules).rules
    wanted = call.request.headers.get("if-match")
    with call.repository.database.writing() as connection:
        if wanted is not None and wanted != _etag(staging.protection(connection)):
            raise RefusalError(412, "branch protection has changed since it was read; read it again")
        staging.protect(connection, [rule.pattern for rule in rules])
    return Response(status_code=204)


_REPOSITORY = "/repositories/{repository}"

ROUTES = [
    Route("/healthcheck", _healthcheck),
    Route("/setup_lakefs", _setup_state),
    Route("/config", answer(_config)),
    Route("/config/version", answer(_version)),
    Route("/config/storage", answer(_storage)),
    Route("/user", answer(_user)),
    Route("/repositories", answer(_list_repositories)),
    Route("/repositories", answer(_create_repository), methods=["POST"]),
    Route(_REPOSITORY, answer(_get_repository)),
    Route(_REPOSITORY, answer(_delete_repository), methods=["DELETE"]),
    Route(_REPOSITORY + "/metadata", answer(_repository_metadata)),
    Route(_REPOSITORY + "/settings/branch_protection", answer(_get_protection)),
    Route(_REPOSITORY + "/settings/branch_protection", answer(_set_protection), methods=["PUT"]),
    Route(_REPOSITORY + "/branches", answer(_list_branches)),
    Route(_REPOSITORY + "/branches", answer(_create_branch), methods=["POST"]),
    Route(_REPOSITORY + "/branches/{name}", answer(_get_branch)),
    Route(_REPOSITORY + "/branches/{name}", answer(_delete_branch), methods=["DELETE"]),
    Route(_REPOSITORY + "/tags", answer(_list_tags)),
    Route(_REPOSITORY + "/tags", answer(_create_tag), methods=["POST"]),
    Route(_REPOSITORY + "/tags/{name}", answer(_get_tag)),
    Route(_REPOSITORY + "/tags/{name}", answer(_delete_tag), methods=["DELETE"]),
]
