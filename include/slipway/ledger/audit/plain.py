"""Answers as JSON data; a script may count on these keys. Times are ISO 8601 in UTC, digests sha256 in hex.

* device: ``device``, ``at``, ``ran``, ``target``, ``artifacts``, ``making``, ``release``, ``gaps``
* model: ``model``, ``version``, ``making``, ``champion``, ``devices``, ``gaps``
* commit: ``commit``, ``repository``, ``roles``, ``subjects``, ``versions``, ``devices``, ``gaps``; a version has
  ``model``, ``version``, ``registered``, ``artifacts``, ``releases``
* ``ran``, and each of ``devices``: ``device``, ``model``, ``version``, ``release``, ``since``, ``until`` (``null``: it
  still runs), ``clock`` (whose ``since`` is: ``device`` or ``gateway``), ``received_at``, ``seen``, ``removed``
* ``making``: ``registered``, ``trained``, ``exported``, ``compiled`` (by target), ``partitions``, ``artifacts``,
  ``releases``
* a statement: ``stage``, ``subject``, ``fingerprint``, ``disputed``, ``started``, ``finished``, ``run`` (``dag``,
  ``id``, ``url``), ``code`` (``git_commit``, ``git_dirty``, ``digest``), ``environment``, ``hardware``, ``machine``,
  ``seed``, ``parameters``, ``commits`` (role -> ``repository@commit``), ``outputs``, ``details``
* a partition: ``day``, ``features``, ``raw`` (path -> sha256), ``commits``
* ``gaps``: ``source`` (``ledger`` or ``gateway``), ``reason``, ``down``
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from slipway.identity.code import combined
from slipway.ledger.audit.answers import (
    Affected,
    Artifact,
    CommitAnswer,
    DeviceAnswer,
    Gap,
    Making,
    ModelAnswer,
    Partition,
    Reign,
    Released,
    Step,
)
from slipway.release.fleet_history import Ran


def device_data(answer: DeviceAnswer) -> dict[str, Any]:
    """What drove a device."""
    return {
        "device": answer.device_id,
        "at": _time(answer.at),
        "ran": answer.ran and ran_data(answer.ran),
        "target": answer.target,
        "artifacts": _artifacts(answer.artifacts),
        "making": answer.making and making_data(answer.making),
        "release": answer.release and step_data(answer.release),
        "gaps": _gaps(answer.gaps),
    }


def model_data(answer: ModelAnswer) -> dict[str, Any]:
    """How a version was made and where it ran."""
    return {
        "model": answer.pipeline,
        "version": answer.version,
        "making": making_data(answer.making),
        "champion": [reign_data(one) for one in answer.champion],
        "devices": _ran(answer.devices),
        "gaps": _gaps(answer.gaps),
    }


def commit_data(answer: CommitAnswer) -> dict[str, Any]:
    """The recall list of a commit."""
    return {
        "commit": answer.commit,
        "repository": answer.repository,
        "roles": list(answer.roles),
        "subjects": list(answer.subjects),
        "versions": [_affected(one) for one in answer.versions],
        "devices": _ran(answer.devices),
        "gaps": _gaps(answer.gaps),
    }


def making_data(making: Making) -> dict[str, Any]:
    """How a version was made."""
    return {
        "registered": step_data(making.registered),
        "trained": making.trained and step_data(making.trained),
        "exported": making.exported and step_data(making.exported),
        "compiled": {target: step_data(step) for target, step in making.compiled.items()},
        "partitions": [_partition(one) for one in making.partitions],
        "artifacts": _artifacts(making.artifacts),
        "releases": [step_data(step) for step in making.releases],
    }


def step_data(step: Step) -> dict[str, Any]:
    """A statement."""
    one, ran, made_of = step.statement, step.statement.execution, step.statement.ingredients
    return {
        "stage": one.stage,
        "subject": one.subject,
        "fingerprint": one.fingerprint,
        "disputed": step.disputed,
        "started": _time(ran.started),
        "finished": _time(ran.finished),
        "run": {"dag": ran.dag_id, "id": ran.run_id, "url": ran.run_url},
        "code": {"git_commit": ran.git_commit, "git_dirty": ran.git_dirty, "digest": combined(made_of.code)},
        "environment": made_of.environment,
        "hardware": made_of.hardware,
        "machine": dict(ran.machine),
        "seed": made_of.seed,
        "parameters": dict(made_of.parameters),
        "commits": dict(one.commits),
        "outputs": dict(one.outputs),
        "details": dict(one.details),
    }


def ran_data(ran: Ran) -> dict[str, Any]:
    """A time a device ran a version."""
    return {
        "device": ran.device_id,
        "model": ran.pipeline,
        "version": ran.version,
        "release": ran.release,
        "since": _time(unix(ran.since)),
        "until": _time(unix(ran.until)),
        "clock": ran.clock,
        "received_at": _time(unix(ran.received_at)),
        "seen": _time(unix(ran.seen)),
        "removed": ran.removed,
    }


def reign_data(reign: Reign) -> dict[str, Any]:
    """A time a version was champion."""
    times = {"since": _time(reign.since), "until": _time(reign.until)}
    return {"version": reign.version, "release": reign.release, **times}


def released_data(one: Released) -> dict[str, Any]:
    """How a release ended."""
    return {"version": one.version, "release": one.release, "outcome": one.outcome, "ended": _time(one.ended)}


def unix(seconds: float | None) -> dt.datetime | None:
    """Unix seconds as a time in UTC."""
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)


def _affected(one: Affected) -> dict[str, Any]:
    return {
        "model": one.pipeline,
        "version": one.version,
        "registered": _time(one.registered),
        "artifacts": _artifacts(one.artifacts),
        "releases": [released_data(released) for released in one.releases],
    }


def _partition(one: Partition) -> dict[str, Any]:
    files = {"features": dict(one.features), "raw": dict(one.raw)}
    return {"day": one.day, **files, "commits": dict(one.commits)}


def _artifacts(made: Iterable[Artifact]) -> list[dict[str, Any]]:
    return [{"target": one.target, "path": one.path, "sha256": one.sha256} for one in made]


def _gaps(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    return [{"source": gap.source, "reason": gap.reason, "down": gap.down} for gap in gaps]


def _ran(devices: Iterable[Ran] | None) -> list[dict[str, Any]] | None:
    return None if devices is None else [ran_data(ran) for ran in devices]


def _time(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(dt.UTC).isoformat()
