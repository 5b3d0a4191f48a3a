"""A landing: what an ingest run works on, where, and from which code; what its tasks hand on to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slipway.errors import EvidenceError, LakeNotFoundError
from slipway.identity.canonical import canonical_json
from slipway.identity.code import Closure, require_unchanged
from slipway.identity.digest import sha256_bytes
from slipway.identity.environment import LOCK, lock_digest
from slipway.identity.fingerprint import Ingredients, cpu_hardware_class
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger
from slipway.pipeline.spec import Pipeline
from slipway.stages.code import stage_code

STAGE = "features"
INGEST = "ingest"
FEED = "feed/"
"""What the name of a material begins with that came from outside, by no statement's making."""
SPARK = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}
"""What Spark's answers depend on besides query and version: every session is set so, whatever its server's defaults."""


@dataclass(frozen=True)
class Landing:
    """Where a partition's run works, and whether there is anything left to do."""

    partition: str
    fingerprint: str
    branch: str
    inputs: dict[str, str]
    """Raw object path -> sha256."""
    rows: dict[str, int]
    """Raw table -> rows."""
    code: str
    """Digest over the job's code closure."""
    sources: dict[str, str]
    """What this checkout adds to the fingerprint, source -> digest: code, dependency lock, contracts."""
    raw: str | None
    """The commit of the run branch with the raw tables; ``None`` when there is nothing left to do."""
    commit: str | None
    """The commit that already holds these features; ``None`` when they have to be made."""
    hardware: str
    """Class of the machine that landed it; part of the fingerprint."""
    started: str = field(compare=False)
    """When the landing began, ISO 8601."""
    reuse: dict[str, Any]
    """``Reuse.brief``: hit or miss, and why."""


def raw_folder(table: str, partition: str) -> str:
    """Where a raw table's partition lies in the lake; a job reads all of it."""
    return f"raw/{table}/date={partition}"


def raw_path(table: str, partition: str) -> str:
    """The one object in there."""
    return f"{raw_folder(table, partition)}/part-00000.parquet"


def features_prefix(partition: str) -> str:
    """Where a partition's features lie in the lake."""
    return f"features/date={partition}"


def raw_code(root: Path) -> Closure:
    """The code that gets raw objects from a feed."""
    return stage_code(root, "include/slipway/feed/fetch.py", "include/slipway/feed/parquet.py")


def raw_ingredients_of(pipeline: Pipeline, partition: str, came: Mapping[str, str], root: Path) -> Ingredients:
    """Everything that decides a partition's raw objects.

    ``came`` is raw table -> sha256 of the rows the feed gave, in the Parquet writing they are landed in: the feed's own
    files also hold other days.
    """
    code = raw_code(root)
    return Ingredients(
        stage=INGEST,
        pipeline=pipeline.name,
        code=code.code,
        packages=code.packages,
        parameters={"partition": partition, "feed": pipeline.feed.model_dump(mode="json")},
        inputs={f"{FEED}{table}": digest for table, digest in came.items()},
        environment=lock_digest(root),
        hardware=cpu_hardware_class(),
    )


def features_code(pipeline: Pipeline, root: Path) -> Closure:
    """The code that makes features of whatever day."""
    return stage_code(root, f"spark_jobs/{pipeline.features.job}.py")


def ingredients_of(
    pipeline: Pipeline, partition: str, inputs: Mapping[str, str], root: Path, code: Closure | None = None
) -> Ingredients:
    """Everything that decides a partition's features.

    ``inputs`` is raw object path -> sha256; ``code`` is ``features_code``, for those who ask for many days at once.
    """
    code = code or features_code(pipeline, root)
    return Ingredients(
        stage=STAGE,
        pipeline=pipeline.name,
        code=code.code,
        packages=code.packages,
        parameters={
            "partition": partition,
            "contract": pipeline.features.contract.model_dump(mode="json"),
            "raw": {name: contract.model_dump(mode="json") for name, contract in pipeline.raw.items()},
            "spark": SPARK,
        },
        inputs=inputs,
        environment=lock_digest(root),
        hardware=cpu_hardware_class(),
    )


def sources_of(pipeline: Pipeline, ingredients: Ingredients, root: Path) -> dict[str, str]:
    """What a day's statements name of this checkout, source -> digest: the landing's as well as the features'."""
    # Not the hardware: the machines of one deployment may differ between tasks.
    feed = pipeline.feed.model_dump(mode="json")
    contracts = sha256_bytes(canonical_json({**ingredients.parameters, "feed": feed}))
    code = {**raw_code(root).code, **ingredients.code}
    return {**code, LOCK: ingredients.environment, f"the contracts of {pipeline.name}.yaml": contracts}


def missing(lake: Lake, pipeline: Pipeline, statement: Statement) -> str | None:
    """The first object on ``main`` that is not as a statement of features says; ``None`` when all are.

    Those are the features, with nothing beside them since training reads all of a day's folder, and the raw tables
    they were made of.
    """
    main = LakeUri(pipeline.repository, "main", "")
    for path, digest in {**statement.outputs, **statement.materials}.items():
        try:
            data = lake.get(main / path)
        except LakeNotFoundError:
            return path
        if sha256_bytes(data) != digest:
            return path
    listed = (found.path for found in lake.list(main / features_prefix(statement.subject)))
    return next((path for path in listed if path not in statement.outputs), None)


def commit_of(statement: Statement) -> str:
    """The commit of ``main`` that published what a statement is about."""
    return statement.commits["main"].partition("@")[2]


def published(lake: Lake, ledger: Ledger, pipeline: Pipeline, fingerprint: str) -> str | None:
    """The commit of these features, if a statement says so and its outputs still are what it says on ``main``."""
    try:
        found = ledger.find(fingerprint)
    except EvidenceError:
        return None
    if found is None or found.disputed or missing(lake, pipeline, found.statement):
        return None
    return commit_of(found.statement)


def published_beside(lake: Lake, ledger: Ledger, pipeline: Pipeline, landing: Landing) -> str | None:
    """The commit of these features where an earlier try, or another run of the partition, got to the end.

    Its branch is gone then, and the ledger has the statement; ``None`` while there is work to do.
    """
    if landing.branch in lake.branches(pipeline.repository, landing.branch):
        return None
    return published(lake, ledger, pipeline, landing.fingerprint)


def unfinished(lake: Lake, pipeline: Pipeline, branch: str, commit: str) -> bool:
    """Whether the run that published ``commit`` of ``main`` from ``branch`` ended before it could announce that.

    Deleting its branch is the last it does before its asset event. A branch that was not merged there is another's,
    such as a forced run's.
    """
    if branch not in lake.branches(pipeline.repository, branch):
        return False
    try:
        return lake.resolve(pipeline.repository, branch) in lake.commit_info(pipeline.repository, commit).parents[1:]
    except LakeNotFoundError:  # Its run has just deleted it.
        return False


def require_landed_code(pipeline: Pipeline, landing: Landing, root: Path) -> Ingredients:
    """What the landing fingerprinted, on the machine that landed it.

    Raises:
        ConfigurationError: the code or the contracts are no longer those.
    """
    now = ingredients_of(pipeline, landing.partition, landing.inputs, root)
    require_unchanged(landing.sources, sources_of(pipeline, now, root), since="features")
    return replace(now, hardware=landing.hardware)
