"""Endpoints of the runs of webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from slipway.embedded.lakefs_server import gate
from slipway.embedded.lakefs_server.refusal import missing
from slipway.embedded.lakefs_server.wire import Call, answer, page


def _without(record: Mapping[str, Any], inner: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != inner}


def _list(call: Call) -> Response:
    wanted = {"branch": call.text("branch"), "commit_id": call.text("commit")}
    with call.repository.database.reading() as connection:
        found = (
            run
            for run in gate.runs(connection, call.text("after"))
            if all(not value or run[name] == value for name, value in wanted.items())
        )
        return page(call, found, lambda run: _without(run, "hooks"), "run_id")


def _run(call: Call) -> dict[str, Any]:
    with call.repository.database.reading() as connection:
        return gate.run_of(connection, call["run"])


def _get(call: Call) -> Response:
    return JSONResponse(_without(_run(call), "hooks"))


def _hooks(call: Call) -> Response:
    after = call.text("after")
    found = (hook for hook in _run(call)["hooks"] if hook["hook_run_id"] > after)
    return page(call, found, lambda hook: _without(hook, "output"), "hook_run_id")


def _output(call: Call) -> Response:
    for hook in _run(call)["hooks"]:
        if hook["hook_run_id"] == call["hook_run"]:
            return PlainTextResponse(hook["output"])
    raise missing("hook run", call["hook_run"])


_RUNS = "/repositories/{repository}/actions/runs"

ROUTES = [
    Route(_RUNS, answer(_list)),
    Route(_RUNS + "/{run}", answer(_get)),
    Route(_RUNS + "/{run}/hooks", answer(_hooks)),
    Route(_RUNS + "/{run}/hooks/{hook_run}/output", answer(_output)),
]
