"""A statement as rows of the ledger's tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from securesystemslib.dsse import Envelope

from slipway.errors import EvidenceError
from slipway.ledger.envelope import to_json
from slipway.ledger.schema import COMMIT, LINK, OUTPUT, RELEASE, STATEMENT, VERSION
from slipway.ledger.statement import Statement

Rows = dict[sa.Table, list[dict[str, Any]]]
_SAID = ("fingerprint", "outputs_digest", "stable_digest", "pipeline", "stage", "subject")


def statement_row(statement: Statement, envelope: Envelope) -> dict[str, Any]:
    """Its row of ``slipway_statement``, without a number."""
    return {
        "fingerprint": statement.fingerprint,
        "outputs_digest": statement.outputs_digest,
        "stable_digest": statement.stable_digest,
        "pipeline": statement.pipeline,
        "stage": statement.stage,
        "subject": statement.subject,
        "finished": statement.execution.finished.astimezone(dt.UTC),
        "envelope": to_json(envelope),
    }


def moment(stored: dt.datetime) -> dt.datetime:
    """A time as it was written: in UTC, whose zone SQLite does not keep."""
    return stored if stored.tzinfo else stored.replace(tzinfo=dt.UTC)


def require_row(row: Mapping[str, Any], statement: Statement) -> None:
    """Refuse a row of ``slipway_statement`` whose columns are not what its envelope says.

    Raises:
        EvidenceError: the first column that differs.
    """
    said = {name: getattr(statement, name) for name in _SAID}
    stands = {**{name: row[name] for name in _SAID}, "finished": moment(row["finished"])}
    for name, value in {**said, "finished": statement.execution.finished}.items():
        if stands[name] != value:
            raise EvidenceError(
                f"row {row['id']} of {STATEMENT.name} was changed: its envelope is not the one its row was written "
                f"with, which had {name} {stands[name]} where the envelope says {value}; restore the ledger's backup"
            )


def related_rows(number: int, statement: Statement, makers: Mapping[int, str]) -> Rows:
    """What stands beside the row ``number``; ``makers`` are the rows its materials came from, with their stages."""
    named = {"statement": number, "pipeline": statement.pipeline, "finished": statement.execution.finished}
    rows: Rows = {
        OUTPUT: [{"statement": number, "name": name, "sha256": sha} for name, sha in statement.outputs.items()],
        LINK: [{"child": number, "parent": parent} for parent in makers],
        COMMIT: [
            {"statement": number, "stage": statement.stage, "role": role, **_commit(at)}
            for role, at in statement.commits.items()
        ],
    }
    if statement.stage == "register":
        trained = next((maker for maker, stage in makers.items() if stage == "train"), None)
        version = {"version": statement.subject, "trained": trained, "artifacts": artifacts(statement)}
        rows[VERSION] = [{**named, **version}]
    if statement.stage == "release":
        said = statement.ingredients.parameters
        release = {"version": statement.subject, "release": said["release"], "outcome": said["outcome"]}
        rows[RELEASE] = [{**named, **release}]
    return rows


def artifacts(registered: Statement) -> dict[str, str]:
    """Path in the version -> sha256 of what its devices run: ``targets/<target>/model.<kind>``."""
    start = f"versions/{registered.subject}/"
    inside = {name.removeprefix(start): sha for name, sha in registered.outputs.items() if name.startswith(start)}
    return {path: inside[path] for path in sorted(inside, key=lambda path: path.split("/")) if _is_artifact(path)}


def _is_artifact(path: str) -> bool:
    folder, _, rest = path.partition("/")
    return folder == "targets" and rest.count("/") == 1 and rest.rpartition("/")[2].startswith("model.")


def _commit(place: str) -> dict[str, str]:
    repository, commit = place.split("@")
    return {"repository": repository, "commit": commit}
