"""Which run branches have served their purpose: a decision over values, made before anything is deleted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from slipway.lake.run_branch import INGEST_PREFIX, REPRODUCE_PREFIX, TRAIN_PREFIX
from slipway.lake.staging import STAGING_PREFIX

DAY_SECONDS = 86_400
INGEST = "ingest"
TRAIN = "train"
REPRODUCE = "reproduce"


@dataclass(frozen=True)
class BranchState:
    """A branch as it was seen; ``changed`` is unix seconds of its head's commit or of a later, uncommitted write."""

    name: str
    head: str
    changed: int


@dataclass(frozen=True)
class Fate:
    """What becomes of a branch, and why."""

    branch: str
    goes: bool
    reason: str


def line_of(branch: str, pipeline: str) -> str | None:
    """The line of a pipeline whose runs work on a branch: ``ingest``, ``train`` or ``reproduce``.

    ``None``: it is none of its own.
    """
    # Names of pipelines hold no '-', so no pipeline's prefix begins another's.
    if branch.startswith(f"{INGEST_PREFIX}{pipeline}-") or branch.startswith(STAGING_PREFIX):
        return INGEST
    if branch.startswith(f"{REPRODUCE_PREFIX}{pipeline}-"):
        return REPRODUCE
    return TRAIN if branch.startswith(f"{TRAIN_PREFIX}{pipeline}-") else None


def decide(
    branches: Sequence[BranchState],
    *,
    pipeline: str,
    now: float,
    keep_days: int,
    needed: Mapping[str, str],
    running: Collection[str],
) -> tuple[Fate, ...]:
    """The fate of every run branch of a pipeline; branches that are not its own are left out.

    ``now`` is in unix seconds. ``needed`` is commit -> what needs it (a tag, a model version): a branch that ends in
    such a commit stays whatever its age, because the rules of lakeFS's garbage collection know branches and no tags.
    ``running`` holds the lines that have a run queued or running: it may have adopted an old branch, and writing the
    same bytes again leaves no trace of that, so all branches of the line stay this time.
    """
    found = [(state, line_of(state.name, pipeline)) for state in branches]
    return tuple(_fate(state, line in running, now, keep_days, needed) for state, line in found if line is not None)


def _fate(state: BranchState, running: bool, now: float, keep_days: int, needed: Mapping[str, str]) -> Fate:
    age = (now - state.changed) / DAY_SECONDS
    reason = f"last changed {age:.1f} days ago, kept for {keep_days}"
    if state.head in needed:
        return Fate(state.name, False, f"needed by {needed[state.head]}")
    if age <= keep_days:
        return Fate(state.name, False, reason)
    if running:
        return Fate(state.name, False, f"{reason}, but a run of its line is under way")
    return Fate(state.name, True, reason)
