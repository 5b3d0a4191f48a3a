"""Housekeeping of the lake: run branches nobody published go when their keep time is over, then what they held."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from slipway.connections import LakeConnection, MlflowConnection
from slipway.errors import ConfigurationError, LakeNotFoundError
from slipway.lake.collect import collect
from slipway.lake.records import CommitInfo
from slipway.lake.retention import BranchState, Fate, decide, line_of
from slipway.pipeline.spec import Pipeline
from slipway.registry import mlflow_registry
from slipway.stages.register import MODEL_COMMIT

_LOG = logging.getLogger(__name__)


class SweptLake(Protocol):
    """What sweeping needs of ``slipway.lake.client.Lake``."""

    def branches(self, repository: str, prefix: str = "") -> list[str]: ...

    def commit_info(self, repository: str, ref: str) -> CommitInfo: ...

    def last_write(self, repository: str, branch: str) -> int | None: ...

    def tags(self, repository: str) -> dict[str, str]: ...

    def delete_branch(self, repository: str, name: str) -> None: ...


def sweep_branches(
    lake: SweptLake,
    registry: MlflowConnection,
    pipeline: Pipeline,
    *,
    now: float,
    running: Callable[[], Collection[str]],
    dry_run: bool = False,
) -> tuple[Fate, ...]:
    """Delete the run branches of a pipeline that ``slipway.lake.retention`` lets go, and log each with its reason.

    ``now`` is in unix seconds; ``running`` tells which lines have a run queued or running, and is asked after the
    branches were looked at. With ``dry_run`` nothing is deleted. May be repeated; a repository that does not exist
    yet has no branches.

    Raises:
        UnavailableError: the lake or the registry cannot be reached; what was not deleted yet stays.
    """
    states = _look(lake, pipeline)
    fates = decide(
        states,
        pipeline=pipeline.name,
        now=now,
        keep_days=pipeline.keep_run_branches_days,
        needed=_needed(lake, registry, pipeline) if states else {},
        running=running() if states else (),
    )
    for fate in fates:
        if fate.goes and not dry_run:
            lake.delete_branch(pipeline.repository, fate.branch)
        done = "stays" if not fate.goes else "would be deleted" if dry_run else "deleted"
        _LOG.info("branch %s of %s %s: %s", fate.branch, pipeline.repository, done, fate.reason)
    return fates


def collect_unreferenced(lake: LakeConnection, *, dry_run: bool = False) -> int:
    """Free what no branch, tag or young upload of the embedded lake refers to; returns how many bytes went.

    lakeFS collects with a job of its own, which the log then says; nothing is done.

    Raises:
        UnavailableError: the lake does not answer.
        LakeError: it refuses; the key must be an admin's.
    """
    try:
        found = collect(lake, dry_run=dry_run)
    except ConfigurationError as error:
        _LOG.info("%s", error)
        return 0
    for one in found:
        _LOG.info("%s of %s: %s", "would go" if dry_run else "collected", one["repository"], one)
    return sum(one["bytes"] for one in found)


def _look(lake: SweptLake, pipeline: Pipeline) -> list[BranchState]:
    try:
        names = [name for name in lake.branches(pipeline.repository) if line_of(name, pipeline.name)]
    except LakeNotFoundError:
        return []
    states = []
    for name in names:
        try:
            head = lake.commit_info(pipeline.repository, name)
            written = lake.last_write(pipeline.repository, name)
        except LakeNotFoundError:
            continue  # Its run published it meanwhile.
        states.append(BranchState(name, head.id, max(head.created, written or 0)))
    return states


def _needed(lake: SweptLake, registry: MlflowConnection, pipeline: Pipeline) -> Mapping[str, str]:
    """Commit -> what needs it. A version whose registration was killed before its tag was set is found by itself."""
    versions = mlflow_registry.versions_by_tag(registry, pipeline.name, MODEL_COMMIT)
    named = {commit: f"model version {version}" for commit, version in versions.items()}
    return named | {commit: f"tag {tag}" for tag, commit in lake.tags(pipeline.repository).items()}
