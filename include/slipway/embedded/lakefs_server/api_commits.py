"""Endpoints of commits, the log, differences and merges."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from slipway.embedded.lakefs_server import branches, history, references, replay, staging
from slipway.embedded.lakefs_server.bodies import (
    CherryPickCreation,
    CommitCreation,
    CommitOverrides,
    MergeRequest,
    ResetCreation,
    RevertCreation,
)
from slipway.embedded.lakefs_server.compare import Difference, differences
from slipway.embedded.lakefs_server.history import Commit
from slipway.embedded.lakefs_server.names import check_path
from slipway.embedded.lakefs_server.refusal import invalid
from slipway.embedded.lakefs_server.trees import NO_ENTRIES, Entry
from slipway.embedded.lakefs_server.wire import Call, answer, grouped, page


def _show_commit(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.id,
        "parents": list(commit.parents),
        "committer": commit.committer,
        "message": commit.message,
        "creation_date": commit.created,
        "meta_range_id": commit.meta_range_id,
        "metadata": dict(commit.metadata),
        "generation": commit.generation,
        "version": 1,
    }


def _commit(call: Call) -> Response:
    body = call.body(CommitCreation)
    made = branches.commit(
        call.repository,
        call["branch"],
        body.message,
        body.metadata or {},
        created=body.date,
        allow_empty=bool(body.allow_empty),
        committer=call.user_id,
        gate=call.server.gate,
    )
    return JSONResponse(_show_commit(made), 201)


def _get_commit(call: Call) -> Response:
    with call.repository.database.reading() as connection:
        return JSONResponse(_show_commit(references.resolve(connection, call["ref"]).commit))


def _log(call: Call) -> Response:
    with call.repository.database.reading() as connection:
        start = references.resolve(connection, call["ref"]).commit
        commits = _between(call, connection, history.log(connection, start, call.flag("first_parent")))
        # the paths last: a commit ends the log whatever it changed
        return page(call, _touching(call, connection, commits), _show_commit, "id")


def _between(call: Call, connection: sqlite3.Connection, commits: Iterator[Commit]) -> Iterator[Commit]:
    """Apply the references ``after`` (exclusive) and ``stop_at`` (inclusive) and the date ``since``."""
    after, stop_at = (_commit_id(connection, call.text(name)) for name in ("after", "stop_at"))
    since = _since(call)
    for commit in commits:
        if after:
            after = "" if commit.id == after else after
        elif commit.created < since:
            return
        else:
            yield commit
        if stop_at and commit.id == stop_at:
            return


def _commit_id(connection: sqlite3.Connection, expression: str) -> str:
    return references.resolve(connection, expression).commit.id if expression else ""


def _since(call: Call) -> float:
    text = call.text("since")
    try:
        return datetime.fromisoformat(text).timestamp() if text else 0.0
    except ValueError as error:
        raise invalid(f"invalid since {text!r}: expected an ISO 8601 date") from error


def _touching(call: Call, connection: sqlite3.Connection, commits: Iterator[Commit]) -> Iterator[Commit]:
    """Keep commits that changed one of ``objects`` or something under one of ``prefixes``, if any are given."""
    query = call.request.query_params
    wanted = [(check_path(path), True) for path in query.getlist("objects")]
    wanted += [(prefix.encode(), False) for prefix in query.getlist("prefixes")]
    trees = call.repository.trees(connection)
    for commit in commits:
        before = history.load(connection, commit.parents[0]).tree if commit.parents else NO_ENTRIES
        changed = (
            any(not exact or change.path == path for change in differences(trees, before, commit.tree, prefix=path))
            for path, exact in wanted
        )
        if not wanted or any(changed):
            yield commit


def _show_change(change: tuple[str, Difference] | bytes) -> dict[str, Any]:
    if isinstance(change, bytes):
        return {"type": "prefix_changed", "path": change.decode(), "path_type": "common_prefix"}
    kind, difference = change
    shown: dict[str, Any] = {"type": kind, "path": difference.path.decode(), "path_type": "object"}
    identity = difference.right or difference.left
    if identity is not None:
        shown["size_bytes"] = Entry.decode(identity).size
    return shown


def _changes(call: Call, changes: Iterator[tuple[str, Difference]]) -> Response:
    shown = grouped(changes, lambda change: change[1].path, call)
    return page(call, shown, _show_change, "path")


def _diff(call: Call) -> Response:
    kind = call.text("type", "three_dot")
    if kind not in ("two_dot", "three_dot"):
        raise invalid(f"invalid type {kind!r}: expected two_dot or three_dot")
    with call.repository.database.reading() as connection:
        left, right = (references.resolve(connection, call[side]).commit for side in ("left", "right"))
        base = history.merge_base(connection, left, right) if kind == "three_dot" else None
        prefix, after = call.text("prefix").encode(), call.text("after").encode()
        trees = call.repository.trees(connection)
        found = branches.changes_between(trees, left, right, base, prefix=prefix, after=after)
        return _changes(call, found)


def _diff_branch(call: Call) -> Response:
    prefix, after = call.text("prefix").encode(), call.text("after").encode()
    with call.repository.database.reading() as connection:
        changes = staging.uncommitted(call.repository, connection, call["branch"])
        found = ((one.kind, one) for one in changes if one.path.startswith(prefix) and one.path > after)
        return _changes(call, found)


def _reset(call: Call) -> Response:
    body = call.body(ResetCreation)
    prefix = b"" if body.type == "reset" else (body.path or "").encode()
    if body.type == "object":
        prefix = check_path(body.path or "")
    staging.reset(call.repository, call["branch"], prefix, exact=body.type == "object")
    return Response(status_code=204)


def _hard_reset(call: Call) -> Response:
    replay.hard_reset(call.repository, call["branch"], call.text("ref"))
    return Response(status_code=204)


def _revert(call: Call) -> Response:
    body = call.body(RevertCreation)
    says = _says(call, body.commit_overrides)
    empty = bool(body.allow_empty)
    replay.revert(call.repository, call["branch"], body.ref, body.parent_number, says, allow_empty=empty)
    return Response(status_code=204)


def _cherry_pick(call: Call) -> Response:
    body = call.body(CherryPickCreation)
    says = _says(call, body.commit_overrides)
    made = replay.cherry_pick(call.repository, call["branch"], body.ref, body.parent_number, says)
    return JSONResponse(_show_commit(made), 201)


def _says(call: Call, overrides: CommitOverrides | None) -> replay.Says:
    wanted = overrides or CommitOverrides()
    return replay.Says(call.user_id, wanted.message, wanted.metadata or {})


def _merge(call: Call) -> Response:
    body = call.body(MergeRequest)
    made = branches.merge_into(
        call.repository,
        call["source"],
        call["destination"],
        body.message,
        body.metadata or {},
        strategy=body.strategy or "",
        allow_empty=bool(body.allow_empty or body.force),
        squash=bool(body.squash_merge),
        committer=call.user_id,
        gate=call.server.gate,
    )
    return JSONResponse({"reference": made.id})


def _merge_base(call: Call) -> Response:
    with call.repository.database.reading() as connection:
        source, destination = (references.resolve(connection, call[one]).commit for one in ("source", "destination"))
        base = history.merge_base(connection, source, destination)
    ids = {"source_commit_id": source.id, "destination_commit_id": destination.id, "base_commit_id": base.id}
    return JSONResponse(ids)


_REPOSITORY = "/repositories/{repository}"

ROUTES = [
    Route(_REPOSITORY + "/branches/{branch}/commits", answer(_commit, writes="branch"), methods=["POST"]),
    Route(_REPOSITORY + "/branches/{branch}/diff", answer(_diff_branch)),
    Route(_REPOSITORY + "/branches/{branch}", answer(_reset, writes="branch"), methods=["PUT"]),
    Route(_REPOSITORY + "/branches/{branch}/hard_reset", answer(_hard_reset, writes="branch"), methods=["PUT"]),
    Route(_REPOSITORY + "/branches/{branch}/revert", answer(_revert, writes="branch"), methods=["POST"]),
    Route(_REPOSITORY + "/branches/{branch}/cherry-pick", answer(_cherry_pick, writes="branch"), methods=["POST"]),
    Route(_REPOSITORY + "/commits/{ref}", answer(_get_commit)),
    Route(_REPOSITORY + "/refs/{ref}/commits", answer(_log)),
    Route(_REPOSITORY + "/refs/{left}/diff/{right}", answer(_diff)),
    Route(_REPOSITORY + "/refs/{source}/merge/{destination}", answer(_merge, writes="destination"), methods=["POST"]),
    Route(_REPOSITORY + "/refs/{source}/merge/{destination}", answer(_merge_base)),
]
