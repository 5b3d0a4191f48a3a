"""Ingest: one partition from the feed to features on ``main``.

Three steps, each of which may be retried at any point: land the raw tables on a run branch, make features there
(Spark, in ``spark_jobs/``), and publish what satisfies its contract. The run branch's name is derived from the
fingerprint, so a retry finds the branch it left.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from slipway.errors import LakeNotFoundError, UnreadableDataError
from slipway.identity.code import combined
from slipway.identity.digest import sha256_bytes
from slipway.lake.client import Lake
from slipway.lake.publish import publish
from slipway.lake.run_branch import ingest_branch, open_branch
from slipway.lake.uri import LakeUri
from slipway.ledger.statement import Execution, Statement
from slipway.ledger.store import Ledger
from slipway.pipeline.spec import Pipeline
from slipway.quality.parquet import concatenate, read_parquet
from slipway.quality.report import Verdict, outcome_in, unreadable
from slipway.stages.arrival import Arrival, arrival
from slipway.stages.gate import Gate, Reported, report_folder, unread
from slipway.stages.landing import (
    STAGE,
    Landing,
    commit_of,
    features_prefix,
    published,
    published_beside,
    raw_folder,
    raw_ingredients_of,
    raw_path,
    require_landed_code,
    sources_of,
    unfinished,
)
from slipway.stages.run import Run


def land(
    lake: Lake,
    ledger: Ledger,
    pipeline: Pipeline,
    partition: dt.date,
    *,
    root: Path,
    copies: Path | None = None,
    force: bool = False,
    run_id: str = "",
    reported: Reported = unread,
) -> Landing:
    """Fetch the raw tables of a partition and put them on its run branch, checked against their contracts.

    Nothing is put anywhere when the features that would come of it are published; ``force`` makes them all the same,
    and so does the pipeline's ``recheck`` for a share of runs, by ``run_id``. ``reported`` is told where the quality
    reports of the raw tables are; ``copies`` is a folder for parsed copies of the feed's files.

    Raises:
        EmptyPartitionError: the feed has no rows of a table that needs some.
        ContractError: a raw table breaks its contract; the run branch is kept and holds the report.
    """
    started = dt.datetime.now(dt.UTC)
    came = arrival(lake, ledger, pipeline, partition, root=root, copies=copies, force=force, run_id=run_id)
    lake.ensure_repository(pipeline.repository)
    landing = _landing(pipeline, came, started, root)
    gate = _gate(lake, pipeline, landing, reported)
    if came.reuse.statement is not None:
        commit = commit_of(came.reuse.statement)
        _announce(gate, came.tables, commit)
        return replace(landing, commit=commit)
    try:
        return _put(gate, landing, objects=came.objects, tables=came.tables)
    except LakeNotFoundError:
        # Another run of this partition published, or began the branch afresh, between two of the steps.
        if not force and (overtaken := published(lake, ledger, pipeline, landing.fingerprint)):
            _announce(gate, came.tables, overtaken)
            return replace(landing, commit=overtaken)
        return _put(gate, landing, objects=came.objects, tables=came.tables)


def _landing(pipeline: Pipeline, came: Arrival, started: dt.datetime, root: Path) -> Landing:
    fingerprint, partition = came.reuse.fingerprint, came.reuse.subject
    return Landing(
        partition=partition,
        fingerprint=fingerprint,
        branch=ingest_branch(pipeline.name, partition, fingerprint),
        inputs=came.inputs,
        rows={name: table.num_rows for name, table in came.tables.items()},
        code=combined(came.ingredients.code),
        sources=sources_of(pipeline, came.ingredients, root),
        raw=None,
        commit=None,
        hardware=came.ingredients.hardware,
        started=started.isoformat(),
        reuse=came.reuse.brief(),
    )


def _put(gate: Gate, landing: Landing, *, objects: Mapping[str, bytes], tables: Mapping[str, pa.Table]) -> Landing:
    """Put the raw tables on the run branch."""
    lake, pipeline = gate.lake, gate.pipeline
    reports = [f"{report_folder(name, landing.partition)}/" for name in tables]
    made = [f"{features_prefix(landing.partition)}/", f"{report_folder(STAGE, landing.partition)}/"]
    folders = [f"{raw_folder(name, landing.partition)}/" for name in tables]
    open_branch(lake, pipeline.repository, landing.branch, [*folders, *reports, *made])
    _clear(gate, folders, objects)
    for path, data in objects.items():
        lake.put(LakeUri(pipeline.repository, landing.branch, path), data)
    for name, table in tables.items():
        gate.judge(name, table)
    landed = _commit_raw(gate, landing, [*folders, *reports])
    _announce(gate, tables, landed)
    return replace(landing, raw=landed)


def _clear(gate: Gate, folders: Iterable[str], objects: Collection[str]) -> None:
    """Delete what ``main`` holds beside the raw tables: a job reads whole folders, and no statement would name it."""
    lake, repository, branch = gate.lake, gate.pipeline.repository, gate.branch
    found = (item.path for folder in folders for item in lake.list(LakeUri(repository, branch, folder)))
    if stray := [path for path in found if path not in objects]:
        lake.delete_many(repository, branch, stray)


def _commit_raw(gate: Gate, landing: Landing, landed: Sequence[str]) -> str:
    """Commit what the landing wrote, path prefixes ``landed``, and nothing else; returns that commit.

    Spark reads commits only: what a job sees must be nameable afterwards. What an earlier try left uncommitted may be
    half of its features: they stay as they are when the raw tables are committed already, else they go.
    """
    lake, repository, branch = gate.lake, gate.pipeline.repository, landing.branch
    staged = lake.uncommitted(repository, branch)
    if not any(path.startswith(tuple(landed)) for path in staged):
        return lake.resolve(repository, branch)
    lake.delete_many(repository, branch, [path for path in staged if not path.startswith(tuple(landed))])
    message = f"{gate.pipeline.name} {landing.partition}: raw tables"
    return lake.commit(repository, branch, message, {"slipway.fingerprint": landing.fingerprint})


def publish_features(
    lake: Lake,
    ledger: Ledger,
    pipeline: Pipeline,
    landing: Landing,
    run: Run,
    *,
    root: Path,
    reported: Reported = unread,
) -> str:
    """Check the features on the run branch and merge them into ``main``; returns the commit that holds them.

    May be repeated after a kill at any point, also when the branch is gone because an earlier try got to its end.
    ``reported`` is told where the quality report of the features is.

    Raises:
        ConfigurationError: the code or the contracts changed since the landing; nothing was done.
        ContractError: the features break their contract; ``main`` is unchanged, the run branch holds the report.
        UnreadableDataError: the features are not readable Parquet; likewise.
        DisputedError: the same fingerprint gave other features before; likewise.
        LakeConflictError: ``main`` changed the same paths meanwhile; the message names them.
    """
    gate = _gate(lake, pipeline, landing, reported)
    if landing.commit and unfinished(lake, pipeline, landing.branch, landing.commit):
        lake.delete_branch(pipeline.repository, landing.branch)
    commit = landing.commit or published_beside(lake, ledger, pipeline, landing)
    if commit is None:
        try:
            commit = _publish(gate, ledger, landing, run, root)
        except LakeNotFoundError:
            # Another run of this partition may have published and deleted the branch meanwhile.
            commit = published_beside(lake, ledger, pipeline, landing)
            if commit is None:
                raise
    _announce(gate, [STAGE], commit)
    return commit


def _publish(gate: Gate, ledger: Ledger, landing: Landing, run: Run, root: Path) -> str:
    lake, pipeline = gate.lake, gate.pipeline
    made_of = require_landed_code(pipeline, landing, root)
    table, outputs = _read_features(gate)
    outcome = gate.judge(STAGE, table).outcome
    execution = run.execution(root, dt.datetime.fromisoformat(landing.started))
    raw = _raw_statement(pipeline, landing, execution, root)
    features = Statement(made_of, landing.partition, outputs, landing.inputs, execution, commits=raw.commits)
    # Compared before anything is published: whoever disagrees with an earlier run must not replace what it made.
    ledger.require_agreement(features)
    commit = publish(
        lake,
        pipeline.repository,
        landing.branch,
        message=f"{pipeline.name} {landing.partition}: {table.num_rows} rows of features",
        metadata=run.metadata(
            pipeline=pipeline.name,
            stage=STAGE,
            fingerprint=landing.fingerprint,
            code=landing.code,
            inputs=landing.inputs,
            rows={**landing.rows, STAGE: table.num_rows},
            partition=landing.partition,
        ),
        verdicts=[
            *(_verdict(gate, name, landing) for name in pipeline.raw),
            Verdict(STAGE, outcome, f"{features_prefix(landing.partition)}/"),
        ],
    )
    made = {"main": f"{pipeline.repository}@{commit}"}
    details = {"rows": table.num_rows}
    ledger.record(raw, replace(features, commits={**features.commits, **made}, details=details))
    lake.delete_branch(pipeline.repository, landing.branch)
    return commit


def _raw_statement(pipeline: Pipeline, landing: Landing, execution: Execution, root: Path) -> Statement:
    """What was done to get the raw objects."""
    came = {table: landing.inputs[raw_path(table, landing.partition)] for table in pipeline.raw}
    made_of = replace(raw_ingredients_of(pipeline, landing.partition, came, root), hardware=landing.hardware)
    commits = {"raw": f"{pipeline.repository}@{landing.raw}"}
    details = {"rows": landing.rows}
    return Statement(
        made_of, landing.partition, landing.inputs, made_of.inputs, execution, commits=commits, details=details
    )


def _verdict(gate: Gate, table: str, landing: Landing) -> Verdict:
    """What the landing concluded on a raw table; a failure when something else lies there now."""
    path = raw_path(table, landing.partition)
    place = LakeUri(gate.pipeline.repository, landing.branch, raw_folder(table, landing.partition))
    found = {item.path: sha256_bytes(gate.lake.get(replace(place, path=item.path))) for item in gate.lake.list(place)}
    same = found == {path: landing.inputs[path]}
    return Verdict(table, outcome_in(gate.written(table)) if same else "fail", f"{place.path}/")


def _read_features(gate: Gate) -> tuple[pa.Table, dict[str, str]]:
    """The features on the run branch, and path -> sha256 of their objects."""
    outputs: dict[str, str] = {}
    parts = []
    place = LakeUri(gate.pipeline.repository, gate.branch, features_prefix(gate.partition))
    try:
        for item in gate.lake.list(place):
            uri = replace(place, path=item.path)
            data = gate.lake.get(uri)
            outputs[item.path] = sha256_bytes(data)
            parts.append(read_parquet(data, str(uri)))
        return concatenate(parts), outputs
    except UnreadableDataError as error:
        gate.reject(unreadable(STAGE, gate.partition, str(error)))
        raise


def _gate(lake: Lake, pipeline: Pipeline, landing: Landing, reported: Reported) -> Gate:
    return Gate(lake, pipeline, landing.branch, landing.partition, landing.fingerprint, reported)


def _announce(gate: Gate, datasets: Iterable[str], commit: str) -> None:
    for dataset in datasets:
        gate.published(dataset, commit)
