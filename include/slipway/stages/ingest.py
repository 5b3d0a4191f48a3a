"""Ingest: one partition from the feed to features on ``main``.

Three steps, each of which may be retried at any point: land the raw tables on a run branch, make features there
(Spark, in ``spark_jobs/``), and publish what satisfies its contract. The run branch's name is derived from the
fingerprint, so a retry finds the branch it left.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from slipway.errors import EmptyPartitionError, LakeNotFoundError, UnreadableDataError
from slipway.feed.fetch import fetch
from slipway.feed.parquet import to_parquet
from slipway.identity.code import combined
from slipway.identity.digest import sha256_bytes
from slipway.lake.client import Lake
from slipway.lake.publish import publish
from slipway.lake.run_branch import ingest_branch, open_branch
from slipway.lake.uri import LakeUri
from slipway.ledger.statements import Ledger, Statement
from slipway.pipeline.spec import Pipeline
from slipway.quality.check import check
from slipway.quality.parquet import concatenate, read_parquet
from slipway.quality.report import QualityReport, raise_if_failed, unreadable
from slipway.stages.landing import (
    STAGE,
    Landing,
    features_prefix,
    ingredients_of,
    published,
    published_beside,
    raw_path,
    require_landed_code,
    sources_of,
)
from slipway.stages.run import Run


def land(
    lake: Lake, ledger: Ledger, pipeline: Pipeline, partition: dt.date, *, root: Path, force: bool = False
) -> Landing:
    """Fetch the raw tables of a partition and put them on its run branch, checked against their contracts.

    Raises:
        EmptyPartitionError: the feed has no rows of a table that needs some.
        ContractError: a raw table breaks its contract; the run branch is kept and holds the report.
    """
    day = partition.isoformat()
    tables = fetch(pipeline.feed, partition)
    objects = {raw_path(name, day): to_parquet(table) for name, table in tables.items()}
    inputs = {path: sha256_bytes(data) for path, data in objects.items()}
    ingredients = ingredients_of(pipeline, day, inputs, root)
    fingerprint = ingredients.fingerprint()
    lake.ensure_repository(pipeline.repository)
    landing = Landing(
        partition=day,
        fingerprint=fingerprint,
        branch=ingest_branch(pipeline.name, day, fingerprint),
        inputs=inputs,
        rows={name: table.num_rows for name, table in tables.items()},
        code=combined(ingredients.code),
        sources=sources_of(pipeline, ingredients),
        commit=None,
    )
    try:
        return _put(lake, ledger, pipeline, landing, objects=objects, tables=tables, force=force)
    except LakeNotFoundError:
        # Another run of this partition published, or began the branch afresh, between two of the steps.
        return _put(lake, ledger, pipeline, landing, objects=objects, tables=tables, force=force)


def _put(
    lake: Lake,
    ledger: Ledger,
    pipeline: Pipeline,
    landing: Landing,
    *,
    objects: Mapping[str, bytes],
    tables: Mapping[str, pa.Table],
    force: bool,
) -> Landing:
    """Put the raw tables on the run branch, unless their features are published."""
    commit = None if force else published(lake, ledger, pipeline, landing.fingerprint)
    if commit is not None:
        return replace(landing, commit=commit)
    datasets = [f"_quality/{name}/date={landing.partition}/" for name in (*tables, STAGE)]
    own = [*objects, f"{features_prefix(landing.partition)}/", *datasets]
    open_branch(lake, pipeline.repository, landing.branch, own)
    for path, data in objects.items():
        lake.put(LakeUri(pipeline.repository, landing.branch, path), data)
    for name, table in tables.items():
        _gate(lake, pipeline, landing, name, table)
    # Spark reads commits only: what a job sees must be nameable afterwards.
    message = f"{pipeline.name} {landing.partition}: raw tables"
    lake.commit(pipeline.repository, landing.branch, message, {"slipway.fingerprint": landing.fingerprint})
    return landing


def publish_features(lake: Lake, ledger: Ledger, pipeline: Pipeline, landing: Landing, run: Run, *, root: Path) -> str:
    """Check the features on the run branch and merge them into ``main``; returns the commit that holds them.

    May be repeated after a kill at any point, also when the branch is gone because an earlier try got to its end.

    Raises:
        ConfigurationError: the code or the contracts changed since the landing; nothing was done.
        ContractError: the features break their contract; ``main`` is unchanged, the run branch holds the report.
        UnreadableDataError: the features are not readable Parquet; likewise.
        LakeConflictError: ``main`` changed the same paths meanwhile; the message names them.
    """
    done = landing.commit or published_beside(lake, ledger, pipeline, landing)
    if done is not None:
        return done
    require_landed_code(pipeline, landing, root)
    try:
        return _publish(lake, ledger, pipeline, landing, run)
    except LakeNotFoundError:
        # Another run of this partition may have published and deleted the branch meanwhile.
        done = published_beside(lake, ledger, pipeline, landing)
        if done is None:
            raise
        return done


def _publish(lake: Lake, ledger: Ledger, pipeline: Pipeline, landing: Landing, run: Run) -> str:
    table, outputs = _read_features(lake, pipeline, landing)
    _gate(lake, pipeline, landing, STAGE, table)
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
    )
    details = {"commit": commit, "rows": table.num_rows, "code": landing.code}
    ledger.record(
        Statement(landing.fingerprint, STAGE, pipeline.name, landing.partition, landing.inputs, outputs, details)
    )
    lake.delete_branch(pipeline.repository, landing.branch)
    return commit


def _read_features(lake: Lake, pipeline: Pipeline, landing: Landing) -> tuple[pa.Table, dict[str, str]]:
    """The features on the run branch, and path -> sha256 of their objects."""
    outputs: dict[str, str] = {}
    parts = []
    try:
        for item in lake.list(LakeUri(pipeline.repository, landing.branch, features_prefix(landing.partition))):
            uri = LakeUri(pipeline.repository, landing.branch, item.path)
            data = lake.get(uri)
            outputs[item.path] = sha256_bytes(data)
            parts.append(read_parquet(data, str(uri)))
        return concatenate(parts), outputs
    except UnreadableDataError as error:
        _reject(lake, pipeline, landing, unreadable(STAGE, landing.partition, str(error)))
        raise


def _gate(lake: Lake, pipeline: Pipeline, landing: Landing, dataset: str, table: pa.Table) -> None:
    contract = pipeline.features.contract if dataset == STAGE else pipeline.raw[dataset]
    report = check(dataset, table, contract, landing.partition)
    if report.outcome == "pass":
        _keep(lake, pipeline, landing, report)
        return
    where = _reject(lake, pipeline, landing, report)
    if table.num_rows == 0 and contract.min_rows:
        source, advice = ("job made", "job") if dataset == STAGE else ("feed has", "feed")
        raise EmptyPartitionError(
            f"{dataset} of {landing.partition}: expected at least {contract.min_rows} rows, the {source} none; nothing "
            f"was published. Report: {where}. Check the {advice} for that day, then clear the run"
        )
    raise_if_failed(report, str(where))


def _keep(lake: Lake, pipeline: Pipeline, landing: Landing, report: QualityReport) -> LakeUri:
    folder = LakeUri(pipeline.repository, landing.branch, f"_quality/{report.dataset}/date={landing.partition}")
    lake.put(folder / "report.json", report.to_json(), content_type="application/json")
    lake.put(folder / "report.html", report.to_html(), content_type="text/html")
    return folder / "report.html"


def _reject(lake: Lake, pipeline: Pipeline, landing: Landing, report: QualityReport) -> LakeUri:
    """Keep the run branch as it is for inspection, with the report of what is wrong."""
    where = _keep(lake, pipeline, landing, report)
    message = f"{pipeline.name} {landing.partition}: {report.dataset} rejected"
    metadata = {"slipway.fingerprint": landing.fingerprint, "slipway.outcome": "rejected"}
    lake.commit(pipeline.repository, landing.branch, message, metadata)
    return where
