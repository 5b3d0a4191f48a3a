"""Publishing: a run branch that passed its gates becomes part of ``main``, with where it came from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Protocol

from slipway.errors import ContractError
from slipway.lake.records import CommitInfo
from slipway.quality.report import Verdict

MAIN = "main"
REPORTS = "_quality/"
"""Where the reports lie that are published with the data; they need no verdict of their own."""
_LOOK_BACK = 1000
"""Commits of main searched for the merge a killed run already made."""


class PublishingLake(Protocol):
    """What publishing needs of ``slipway.lake.client.Lake``."""

    def commit(self, repository: str, branch: str, message: str, metadata: Mapping[str, str]) -> str: ...

    def changed(self, repository: str, base: str, ref: str) -> tuple[str, ...]: ...

    def merge(
        self, repository: str, source: str, destination: str, message: str, metadata: Mapping[str, str]
    ) -> str: ...

    def commit_info(self, repository: str, ref: str) -> CommitInfo: ...

    def log(self, repository: str, ref: str, limit: int) -> tuple[CommitInfo, ...]: ...


def publish(
    lake: PublishingLake,
    repository: str,
    branch: str,
    message: str,
    metadata: Mapping[str, str],
    *,
    verdicts: Sequence[Verdict],
) -> str:
    """Commit the run branch and merge that commit into ``main``; returns the commit of ``main`` that first has it.

    The only way to ``main``: every verdict must be a pass, and every path the branch changes must be one that a
    verdict is about. May be repeated after a kill at any point, and run side by side for other partitions. A branch
    that changes nothing is published already: the commit that says so is returned.

    Raises:
        ContractError: a verdict is missing or no pass; ``main`` is unchanged and the run branch kept.
        LakeConflictError: another run published the same paths meanwhile, with the paths; likewise.
    """
    failed = [verdict.dataset for verdict in verdicts if verdict.outcome != "pass"]
    if failed or not verdicts:
        raise ContractError(refused(branch, f"{', '.join(failed)} did not pass" if failed else "there is no verdict"))
    head = lake.commit(repository, branch, message, metadata)
    judged = (REPORTS, *(verdict.judged for verdict in verdicts))
    unjudged = [path for path in lake.changed(repository, MAIN, head) if not path.startswith(judged)]
    if unjudged:
        raise ContractError(refused(branch, f"no verdict is about {', '.join(unjudged[:5])} ({len(unjudged)} paths)"))
    # The commit, not the branch: what somebody writes meanwhile was not judged.
    merged = lake.merge(repository, head, MAIN, message, metadata)
    if _brings_in(lake.commit_info(repository, merged), head):
        return merged
    # Nothing was left to merge: an earlier try of this run did it, or the data was already there.
    for commit in lake.log(repository, MAIN, _LOOK_BACK):
        if _brings_in(commit, head) or commit.id == head:
            return commit.id
    return merged


def refused(branch: str, reason: str) -> str:
    """What the error of a publication without its verdicts says."""
    return (
        f"expected a passing verdict on everything {branch} changes, but {reason}; nothing was published: "
        "look at the branch, correct the job that wrote there, then run the partition again"
    )


def _brings_in(commit: CommitInfo, head: str) -> bool:
    # The first parent of a merge is main itself.
    return head in commit.parents[1:]


def provenance(
    *,
    dag_id: str,
    run_id: str,
    run_url: str,
    run_type: str,
    pipeline: str,
    stage: str,
    fingerprint: str,
    code_digest: str,
    input_digests: Mapping[str, str],
    rows: Mapping[str, int],
    partition: str | None = None,
    logical_date: dt.datetime | None = None,
) -> dict[str, str]:
    """Commit metadata: which Airflow run made this, from what code and inputs, and how many rows of each dataset.

    ``input_digests`` and ``rows`` are keyed by table or dataset; digests are hex. ``logical_date`` is absent for runs
    without one (manual and asset-triggered). The ``::lakefs::Airflow::`` keys are the ones lakeFS's own UI reads; it
    makes a link of the one that ends in ``url[url:ui]``.
    """
    metadata = {
        "::lakefs::Airflow::dag_id": dag_id,
        "::lakefs::Airflow::dag_run_id": run_id,
        "::lakefs::Airflow::run_type": run_type,
        "::lakefs::Airflow::url[url:ui]": run_url,
        "slipway.pipeline": pipeline,
        "slipway.stage": stage,
        "slipway.fingerprint": fingerprint,
        "slipway.code": code_digest,
    }
    if logical_date is not None:
        metadata["::lakefs::Airflow::logical_date[iso8601]"] = logical_date.isoformat()
    if partition is not None:
        metadata["slipway.partition"] = partition
    metadata |= {f"slipway.input.{name}": digest for name, digest in sorted(input_digests.items())}
    metadata |= {f"slipway.rows.{name}": str(count) for name, count in sorted(rows.items())}
    return metadata
