"""Reconciling: what became of the effects that dead runs left open, told by looking where they would have happened.

Nothing is undone here: whatever a dead run left is where its retry would adopt it, and what no retry comes for goes
by the rules of its place (``slipway.stages.housekeeping`` sweeps branches, a pod has its deadline).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from slipway.connections import MlflowConnection
from slipway.errors import LakeNotFoundError
from slipway.lake.records import CommitInfo, ObjectInfo
from slipway.lake.uri import LakeUri
from slipway.ledger.effects import EffectRecord, Effects
from slipway.registry import mlflow_registry
from slipway.release.channel_state import Publication
from slipway.stages import intended

OLD_ENOUGH = dt.timedelta(minutes=30)
"""A record younger than this may belong to a run that the scheduler has not heard of yet."""
_LOOK_BACK = 1000
"""Commits of a branch searched for one."""
MAIN = "main"
_LOG = logging.getLogger(__name__)


class SeenLake(Protocol):
    """What looking needs of ``slipway.lake.client.Lake``."""

    def branches(self, repository: str, prefix: str = "") -> list[str]: ...

    def tags(self, repository: str) -> dict[str, str]: ...

    def log(self, repository: str, ref: str, limit: int) -> tuple[CommitInfo, ...]: ...

    def list(self, uri: LakeUri) -> Sequence[ObjectInfo]: ...

    def exists(self, uri: LakeUri) -> bool: ...


class SeenChannel(Protocol):
    """What looking needs of ``slipway.release.channel.Channel``."""

    def publication(self, pipeline: str) -> Publication | None: ...


@dataclass(frozen=True)
class Places:
    """Where effects happen."""

    lake: SeenLake
    registry: MlflowConnection
    channel: SeenChannel


@dataclass(frozen=True)
class Finding:
    """What became of an effect, and by what one sees it."""

    record: EffectRecord
    state: Literal["found", "abandoned"]
    outcome: str


def reconcile(
    effects: Effects,
    places: Places,
    *,
    now: dt.datetime,
    running: Callable[[str, str], bool],
    old_enough: dt.timedelta = OLD_ENOUGH,
    dry_run: bool = False,
) -> tuple[Finding, ...]:
    """Close every open effect of a run that is over, as ``found`` or ``abandoned``, and log each.

    ``running`` tells of a DAG id and a run id whether that run is queued or running: its retries close their effects
    themselves. A record that somebody opens meanwhile stays open. With ``dry_run`` nothing is closed.

    Raises:
        UnavailableError: the ledger, the lake or the registry cannot be reached; what was not closed yet stays open.
    """
    records = effects.records(state="open", limit=100_000)
    ask = {(one.origin.dag_id, one.origin.run_id) for one in records if now - one.opened >= old_enough}
    left = left_behind(records, now, old_enough, {run for run in ask if running(*run)})
    findings = [judge(record, look(record, places)) for record in left]
    settled = [one for one in findings if dry_run or effects.settle(one.record, one.state, one.outcome)]
    for one in settled:
        origin, effect = one.record.origin, one.record.effect
        what = f"{effect.kind} {effect.key} of {origin.dag_id} {origin.run_id} ({origin.task_id})"
        _LOG.info("%s%s: %s: %s", "would be closed: " if dry_run else "", what, one.state, one.outcome)
    return tuple(settled)


def left_behind(
    records: Sequence[EffectRecord], now: dt.datetime, old_enough: dt.timedelta, running: Collection[tuple[str, str]]
) -> list[EffectRecord]:
    """The open records that no run will close any more; ``running`` holds (DAG id, run id)."""
    return [
        record
        for record in records
        if record.state == "open"
        and now - record.opened >= old_enough
        and (record.origin.dag_id, record.origin.run_id) not in running
    ]


def judge(record: EffectRecord, seen: str | None) -> Finding:
    """What a record is closed as; ``seen`` is what was found, ``None`` where nothing was."""
    if seen is None:
        return Finding(record, "abandoned", f"nothing of it is at {record.effect.target}")
    return Finding(record, "found", seen)


def look(record: EffectRecord, places: Places) -> str | None:
    """What there is of an effect, such as a commit or a version; ``None`` where it did not happen, or is undone."""
    details = record.effect.details
    try:
        match record.effect.kind:
            case "create_branch" | "upload" | "delete_branch" | "tag" | "commit" | "merge" | "run_job" | "start_pod":
                return _in_lake(record, places.lake, details)
            case "register":
                version = mlflow_registry.find(places.registry, details["model"], details["fingerprint"])
                return version and f"version {version}"
            case "set_alias":
                named = mlflow_registry.aliased(places.registry, details["model"], details["alias"])
                return f"version {named}" if named == details["version"] else None
            case "publish":
                return _on_channel(places.channel.publication(details["pipeline"]), details)
    except LakeNotFoundError:
        return None


def _in_lake(record: EffectRecord, lake: SeenLake, details: Mapping[str, str]) -> str | None:
    repository = details["repository"]
    if record.effect.kind == "tag":
        return lake.tags(repository).get(details["tag"])
    branch = details["branch"]
    there = branch in lake.branches(repository, branch)
    match record.effect.kind:
        case "delete_branch":
            return None if there else "the branch is gone"
        case "commit":
            # A branch that was published and deleted has left its commits on main.
            ref = branch if there else MAIN
            return _commit(lake, repository, ref, lambda found: found.message == details["message"])
        case "merge":
            brought = (details["source"], details["work"])
            return _commit(lake, repository, branch, lambda found: _brings_in(found, *brought)) if there else None
        case "run_job":
            written = lake.list(LakeUri(repository, branch if there else MAIN, details["path"]))
            return f"{len(written)} objects" if written else None
        case "start_pod":
            result = LakeUri(repository, branch, details["path"])
            return str(result) if lake.exists(result) else None
    return "the branch is there" if there else None


def _commit(lake: SeenLake, repository: str, ref: str, wanted: Callable[[CommitInfo], bool]) -> str | None:
    return next((found.id for found in lake.log(repository, ref, _LOOK_BACK) if wanted(found)), None)


def _brings_in(found: CommitInfo, source: str, work: str) -> bool:
    # The first parent of a merge is the branch itself.
    return len(found.parents) > 1 and (source in found.parents[1:] or found.metadata.get(intended.FINGERPRINT) == work)


def _on_channel(published: Publication | None, details: Mapping[str, str]) -> str | None:
    if published is None or published.state.release != details["release"]:
        return None
    reached, wanted = intended.moment(published.state), details["moment"]
    passed = wanted.endswith("%") and int(wanted.removesuffix("%")) <= published.state.percent
    return f"serial {published.state.serial}, {reached}" if passed or reached == wanted else None
