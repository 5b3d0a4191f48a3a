"""A statement spelled as an in-toto Statement v1 with an SLSA provenance v1 predicate.

Schemas: https://github.com/in-toto/attestation/tree/main/spec/v1 and https://slsa.dev/spec/v1.1/provenance. What a
statement says and SLSA has no field for stands in extension fields, ``slipway_<name>``, as SLSA asks.

* ``subject``: the outputs, by name and ``sha256``, annotated ``varying`` where another making may give other bytes.
* ``externalParameters``: what was asked for: pipeline, stage, subject and the stage's parameters.
* ``internalParameters``: the fingerprint, and every other ingredient it is made of.
* ``resolvedDependencies``: materials by name and ``sha256``; lakeFS commits by role, with the digest
  ``lakefsCommit`` (the commit's id in lower-case hex, as lakeFS gives it) and its ``lakefs://`` URI; the checkout as
  ``git`` with the digest ``gitCommit`` and whether files differed from it.

``BUILD_TYPE`` and ``BUILDER`` are identifiers, not addresses; this text is their description.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from slipway.errors import ConfigurationError, EvidenceError
from slipway.identity.canonical import canonical_json, read_number
from slipway.identity.fingerprint import Ingredients
from slipway.ledger.intoto_schema import (
    BUILD_TYPE,
    BUILDER,
    PREDICATE_TYPE,
    TYPE,
    Checkout,
    Document,
    External,
    File,
    LakeCommit,
)
from slipway.ledger.statement import Execution, Statement

_GIT = "git"
_EXTERNAL = ("stage", "pipeline", "parameters")
"""Ingredients that are asked for; the others follow."""


def payload(statement: Statement) -> bytes:
    """The bytes that are signed: canonical JSON, so equal statements give equal bytes.

    Raises:
        EvidenceError: as ``to_intoto`` does.
        ConfigurationError: parameters or details hold what JSON cannot carry exactly (NaN, integers beyond 2**53).
    """
    return canonical_json(to_intoto(statement))


def from_payload(content: bytes) -> Statement:
    """Read what ``payload`` wrote.

    Raises:
        EvidenceError: it is no JSON, or as ``from_intoto`` does.
    """
    try:
        document = json.loads(content.decode("utf-8"), parse_int=_number, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"expected a statement as JSON, got something else: {error}") from error
    return from_intoto(document)


def to_intoto(statement: Statement) -> dict[str, Any]:
    """The statement as in-toto spells it, as plain JSON data; its lists are sorted by name.

    Raises:
        EvidenceError: it names no output, a digest is none, or a time has no time zone.
    """
    execution, decided = statement.execution, statement.ingredients.to_dict()
    document = {
        "_type": TYPE,
        "subject": _subject(statement),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    **{name: decided.pop(name) for name in _EXTERNAL},
                    "subject": statement.subject,
                },
                "internalParameters": {"fingerprint": statement.fingerprint, **decided},
                "resolvedDependencies": [
                    *_by_digest(statement.materials),
                    *(_lake_commit(role, statement.commits[role]) for role in sorted(statement.commits)),
                    *_checkout(execution),
                ],
            },
            "runDetails": {
                "builder": {"id": BUILDER},
                "metadata": {
                    "invocationId": execution.run_url,
                    "startedOn": rfc3339(execution.started),
                    "finishedOn": rfc3339(execution.finished),
                },
                "slipway_execution": {
                    "dag_id": execution.dag_id,
                    "run_id": execution.run_id,
                    "machine": dict(execution.machine),
                },
                "slipway_details": dict(statement.details),
            },
        },
    }
    _read(document)
    return document


def from_intoto(document: Mapping[str, Any]) -> Statement:
    """The statement that an in-toto Statement of this build type spells.

    Raises:
        EvidenceError: a field is missing, unknown or of another form than ``to_intoto`` gives it, or the ingredients
            do not have the fingerprint that it names.
    """
    read = _read(document)
    definition, run = read.predicate.build_definition, read.predicate.run_details
    external = definition.external
    ingredients = _ingredients(external, definition.internal)
    git = next((one for one in definition.dependencies if isinstance(one, Checkout)), None)
    return Statement(
        ingredients=ingredients,
        subject=external.subject,
        outputs={one.name: one.digest.sha256 for one in read.subject},
        varying=tuple(one.name for one in read.subject if one.annotations),
        materials={one.name: one.digest.sha256 for one in definition.dependencies if isinstance(one, File)},
        execution=Execution(
            dag_id=run.execution.dag_id,
            run_id=run.execution.run_id,
            run_url=run.metadata.invocation_id,
            started=run.metadata.started_on,
            finished=run.metadata.finished_on,
            git_commit=git.digest.commit if git else None,
            git_dirty=git.annotations.dirty if git else None,
            machine=run.execution.machine,
        ),
        commits={
            one.name: f"{one.repository}@{one.digest.commit}"
            for one in definition.dependencies
            if isinstance(one, LakeCommit)
        },
        details=run.details,
    )


def rfc3339(moment: dt.datetime) -> str:
    """A time in UTC as in-toto wants it, in microseconds.

    Raises:
        EvidenceError: it has no time zone.
    """
    if moment.tzinfo is None:
        raise EvidenceError(f"expected a time with a time zone, got {moment.isoformat()}")
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _ingredients(external: External, internal: Mapping[str, Any]) -> Ingredients:
    asked = {name: getattr(external, name) for name in _EXTERNAL}
    others = {name: value for name, value in internal.items() if name != "fingerprint"}
    try:
        ingredients = Ingredients.from_dict({**asked, **others})
    except ConfigurationError as error:
        raise EvidenceError(f"expected a statement of {BUILD_TYPE}; its ingredients: {error}") from error
    if ingredients.fingerprint() != internal.get("fingerprint"):
        raise EvidenceError(
            f"the statement claims the fingerprint {internal.get('fingerprint')}, but its ingredients have "
            f"{ingredients.fingerprint()}"
        )
    return ingredients


def _subject(statement: Statement) -> list[dict[str, Any]]:
    if unknown := set(statement.varying) - statement.outputs.keys():
        raise EvidenceError(f"expected what varies to be outputs, got {', '.join(sorted(unknown))} too")
    varies = {"annotations": {"varying": True}}
    return [{**one, **(varies if one["name"] in statement.varying else {})} for one in _by_digest(statement.outputs)]


def _by_digest(files: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": files[name]}} for name in sorted(files)]


def _lake_commit(role: str, spelled: str) -> dict[str, Any]:
    repository, _, commit = spelled.rpartition("@")
    if not repository:
        raise EvidenceError(f"commit {role}: expected repository@commit, got {spelled!r}")
    return {"name": role, "uri": f"lakefs://{repository}/{commit}", "digest": {"lakefsCommit": commit}}


def _checkout(execution: Execution) -> list[dict[str, Any]]:
    if execution.git_commit is None:
        return []
    annotations = {"dirty": execution.git_dirty}
    return [{"name": _GIT, "digest": {"gitCommit": execution.git_commit}, "annotations": annotations}]


def _number(digits: str) -> int | float:
    return read_number(int(digits))


def _read(document: Mapping[str, Any]) -> Document:
    try:
        return Document.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise EvidenceError(f"expected a statement of {BUILD_TYPE}; {where}: {first['msg']}") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
