"""Names of run branches: derived from what a run makes, never random, so that a retry finds its own branch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from slipway.errors import ConfigurationError

MAIN = "main"
_NOT_IN_A_BRANCH = re.compile(r"[^A-Za-z0-9_-]+")
_FINGERPRINT = re.compile(r"[0-9a-f]{12,}")


INGEST_PREFIX = "run-"
TRAIN_PREFIX = "train-"
REPRODUCE_PREFIX = "reproduce-"


def ingest_branch(pipeline: str, partition: str, fingerprint: str) -> str:
    """The branch one partition of a pipeline is made on; ``fingerprint`` is lower-case hex."""
    return _slug(f"{INGEST_PREFIX}{pipeline}-{partition}-{_short(fingerprint)}")


def train_branch(pipeline: str, fingerprint: str) -> str:
    """The branch one training of a pipeline's model is made on; ``fingerprint`` is lower-case hex."""
    return _slug(f"{TRAIN_PREFIX}{pipeline}-{_short(fingerprint)}")


def reproduce_branch(pipeline: str, version: str) -> str:
    """The branch on which a past version is made again; never merged."""
    return _slug(f"{REPRODUCE_PREFIX}{pipeline}-v{version}")


class BranchingLake(Protocol):
    """What opening a run branch needs of ``slipway.lake.client.Lake``."""

    def create_branch(self, repository: str, name: str, source: str) -> str: ...

    def delete_branch(self, repository: str, name: str) -> None: ...

    def branches(self, repository: str, prefix: str = "") -> list[str]: ...

    def changed_since(self, repository: str, parted: str, ref: str, prefix: str) -> bool: ...


def open_branch(lake: BranchingLake, repository: str, branch: str, own: Iterable[str]) -> None:
    """Make a run branch off ``main``, or adopt the one a killed or a parallel run of the same work left.

    ``own`` are the path prefixes the run writes under. Where ``main`` changed one since the branch parted from it,
    other work was published there: the branch could never be merged, so it is begun afresh.
    """
    if branch in lake.branches(repository, branch) and any(
        lake.changed_since(repository, branch, MAIN, prefix) for prefix in own
    ):
        lake.delete_branch(repository, branch)
    lake.create_branch(repository, branch, MAIN)


def _slug(text: str) -> str:
    # lakeFS branch names are \w[-\w]*: no '/', '.', ':' or '+'.
    return _NOT_IN_A_BRANCH.sub("-", text)


def _short(fingerprint: str) -> str:
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ConfigurationError(f"expected a fingerprint of at least 12 lower-case hex digits, came {fingerprint!r}")
    return fingerprint[:12]
