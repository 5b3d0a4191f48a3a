"""Release: one registered version to the fleet, phase by phase, and back when it misbehaves."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from slipway.connections import ChannelConnection, MlflowConnection
from slipway.errors import EvidenceError, ReleaseError, RolledBackError
from slipway.identity.digest import sha256_bytes
from slipway.identity.environment import lock_digest
from slipway.identity.fingerprint import Ingredients, cpu_hardware_class
from slipway.ledger import bundle
from slipway.ledger.rows import artifacts
from slipway.ledger.statement import Execution, Statement
from slipway.ledger.store import Ledger
from slipway.pipeline.spec import Pipeline
from slipway.registry import mlflow_registry
from slipway.registry.aliases import CHAMPION
from slipway.release.channel import Channel
from slipway.release.channel_state import Artifact, ChannelState
from slipway.release.gateway_client import GatewayClient
from slipway.release.plan import Decision, release_id
from slipway.release.rollout import Rollout
from slipway.release.version_files import MANIFEST, PROVENANCE, SHARED, artifacts_of
from slipway.stages.code import stage_code
from slipway.stages.register import STAGE as REGISTER
from slipway.stages.register import version_file
from slipway.stages.run import Run

STAGE = "release"
_LOG = logging.getLogger(__name__)


def rollout_of(channel: ChannelConnection, pipeline: Pipeline, version: str, run_id: str) -> Rollout:
    """The release of ``version`` that the scheduler's run ``run_id`` carries out."""
    return Rollout(
        pipeline=pipeline,
        release=release_id(pipeline.name, version, run_id),
        version=version,
        channel=Channel(channel),
        source=GatewayClient(channel),
    )


def rollout_of_run(channel: ChannelConnection, pipeline: Pipeline, run_id: str) -> Rollout | None:
    """The release of that run which the channel is in, told from the channel alone; ``None`` when it is in another."""
    published = Channel(channel).publication(pipeline.name)
    prefix, suffix = release_id(pipeline.name, "|", run_id).split("|")
    if published is None or not published.state.release.endswith(suffix):
        return None
    version = published.state.release.removeprefix(prefix).removesuffix(suffix)
    return rollout_of(channel, pipeline, version, run_id)


def choose_version(registry: MlflowConnection, pipeline: str, asked: str) -> str:
    """The version asked for, else the newest registered one (alias ``challenger``).

    Raises:
        ReleaseError: nothing was asked for and nothing is registered.
    """
    version = asked or mlflow_registry.challenger(registry, pipeline)
    if not version:
        raise ReleaseError(f"no version of {pipeline} is registered; train one first, or name a version")
    return version


def provenance(ledger: Ledger, pipeline: str, version: str) -> bytes:
    """The bundle of a version: the statements of everything it was made of, checked as anyone can check it.

    Raises:
        EvidenceError: the ledger has no statement of it, or a link of its chain is missing, disputed or not verified.
    """
    registered = _registered(ledger, pipeline, version)
    chain = ledger.chain(registered.fingerprint)
    bundle.require_undisputed(chain)
    envelopes = [recorded.envelope for recorded in chain]
    bundle.check(envelopes, ledger.trust(), registered.fingerprint)
    return bundle.pack(envelopes)


def _registered(ledger: Ledger, pipeline: str, version: str) -> Statement:
    stated = ledger.statements(pipeline, REGISTER, version)
    if not stated:
        raise EvidenceError(
            f"expected a statement of how version {version} of {pipeline} was made, the ledger has none; "
            "train it again, or name another version"
        )
    if other := [one.subject for one in stated if one.subject != version]:
        raise EvidenceError(
            f"expected the statement of how version {version} of {pipeline} was made, the ledger gave that of version "
            f"{other[0]}: its rows were changed; restore the ledger's backup"
        )
    return stated[-1]


def prepare(
    rollout: Rollout,
    registry: MlflowConnection,
    channel: ChannelConnection,
    ledger: Ledger,
    *,
    supersede: bool = False,
) -> bool:
    """Sign the version's files into the channel, made with its keys if it is new; no device takes them yet.

    Returns whether there is something to release: what supersedes another release may find the fleet on its version.

    The version's chain of statements goes with them; a version whose making cannot be proved is not released.
    ``supersede`` rolls back a release that was left unfinished (its run was stopped by hand); without it that is an
    error, since it may still be going on.

    Raises:
        EvidenceError: the chain of the version's statements has a gap, is disputed, or does not verify; or a file to
            be signed is not the one that was stated.
        RegistryError: the version's files are not those that were registered.
    """
    name, version = rollout.pipeline.name, rollout.version
    files = mlflow_registry.download(registry, name, version) | {PROVENANCE: provenance(ledger, name, version)}
    _require_stated(_registered(ledger, name, version), artifacts_of(name, version, files))
    Channel(channel).initialise()
    published = rollout.channel.publication(rollout.pipeline.name)
    left = published.state if published else None
    if supersede and left is not None and left.next is not None and left.release != rollout.release:
        rollout.channel.rollback(rollout.pipeline.name, left.release, f"superseded by {rollout.release}")
        _LOG.warning("%s was left unfinished and is rolled back", left.release)
    if supersede and left is not None and left.current == version and left.release != rollout.release:
        _LOG.info("the fleet is on version %s: nothing else is to be done", version)
        return False
    state = rollout.prepare(files)
    _LOG.info("%s: %d files signed, channel serial %d", rollout.release, len(files), state.serial)
    return True


def explain(decision: Decision) -> str:
    """A decision and its verdicts, one gate per line."""
    lines = [f"{decision.action}: {decision.reason}"]
    for verdict in decision.verdicts:
        observed = "nothing" if verdict.observed is None else f"{verdict.observed:.4g}"
        lines.append(f"  {verdict.gate}: {verdict.outcome} (observed {observed}, bound {verdict.bound:g})")
    return "\n".join(lines)


def complete(
    rollout: Rollout,
    registry: MlflowConnection,
    ledger: Ledger,
    phases: Sequence[Mapping[str, Any]],
    *,
    run: Run,
    root: Path,
    started: dt.datetime,
    approvals: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Make the version everybody's, its alias ``champion``, and record the release.

    ``phases`` are ``{"percent", "verdict", "gates"}``, one per phase that passed; ``started`` is when ``prepare``
    began; ``approvals`` are ``{"task", "by", "at", "chosen"}``, one per answer. May be repeated, also after a
    kill between these three effects: each is done only where it is still to be done.

    Raises:
        UnavailableError: MLflow or the ledger does not answer; the fleet has the version already, so call again.
        ReleaseError: the phase of 100% was not opened, or the channel is in another release by now.
    """
    state = rollout.complete()
    mlflow_registry.set_alias(registry, rollout.pipeline.name, CHAMPION, rollout.version)
    details = {"outcome": "completed", "reason": "", "phases": list(phases), "approvals": list(approvals)}
    return _record(rollout, ledger, state, details, execution=run.execution(root, started), root=root)


def roll_back(
    rollout: Rollout | None,
    ledger: Ledger,
    phases: Sequence[Mapping[str, Any]],
    *,
    run: Run,
    root: Path,
    started: dt.datetime,
    approvals: Sequence[Mapping[str, Any]] = (),
) -> NoReturn:
    """Return every device to the version before, record why, and say so by raising; may be repeated.

    The reason is that of the phase that did not pass; without one, a task failed or a person said no. ``phases``,
    ``started`` and ``approvals`` are those of ``complete``.

    Raises:
        RolledBackError: the fleet was returned.
        ReleaseError: the release had not reached the channel, and there was nothing to return; or it is everybody's
            already and only its completion is unfinished. Either way everything stays as it is.
    """
    published = rollout.channel.publication(rollout.pipeline.name) if rollout else None
    if rollout is None or published is None or published.state.release != rollout.release:
        raise ReleaseError("the release failed before it reached the channel; the fleet was not touched")
    if published.state.completed:
        raise ReleaseError(
            f"the fleet is on version {published.state.current}, which passed every phase, and stays on it; what "
            "follows (alias and statement) did not finish: mend what task `complete` says, then clear the task complete"
        )
    reasons = [str(phase["reason"]) for phase in phases if phase["verdict"] != "pass"]
    reason = "; ".join(reasons) or "a task of the release failed, or the approval was refused"
    state = rollout.roll_back(reason)
    details = {"outcome": "rolled_back", "reason": reason, "phases": list(phases), "approvals": list(approvals)}
    _record(rollout, ledger, state, details, execution=run.execution(root, started), root=root)
    raise RolledBackError(
        f"every device was returned to {f'version {state.current}' if state.current else 'no version'}: {reason}; "
        "mend the cause and start a new release"
    )


def _record(
    rollout: Rollout,
    ledger: Ledger,
    state: ChannelState,
    details: Mapping[str, Any],
    *,
    execution: Execution,
    root: Path,
) -> dict[str, Any]:
    pipeline, version = rollout.pipeline, rollout.version
    registered = _registered(ledger, pipeline.name, version)
    code = stage_code(root, "include/slipway/stages/release.py")
    named = {"version": version, "release": rollout.release, "outcome": details["outcome"]}
    ledger.record(
        Statement(
            ingredients=Ingredients(
                stage=STAGE,
                pipeline=pipeline.name,
                code=code.code,
                packages=code.packages,
                parameters={**named, "policy": pipeline.release.model_dump(mode="json")},
                inputs={REGISTER: registered.fingerprint},
                environment=lock_digest(root),
                hardware=cpu_hardware_class(),
            ),
            subject=version,
            # The serial is the channel's own count: it rises with every signature, also of other releases.
            outputs={f"releases/{rollout.release}/channel.json": sha256_bytes(state.content())},
            varying=[f"releases/{rollout.release}/channel.json"],
            materials=_released(registered),
            execution=execution,
            details=details,
        )
    )
    return {**named, **details}


def _released(registered: Statement) -> dict[str, str]:
    """The version's files that the channel publishes, as ``prepare`` required."""
    stated = {version_file(registered.subject, shared) for shared in SHARED}
    folder = version_file(registered.subject, "")
    run = {folder + path for path in artifacts(registered)}
    described = {f"{path.rpartition('/')[0]}/{MANIFEST}" for path in run}
    return {name: digest for name, digest in registered.outputs.items() if name in stated | run | described}


def _require_stated(registered: Statement, signed: Mapping[str, Artifact]) -> None:
    """What is signed (by its path on the channel) must be what the version's registration stated, file by file."""
    version, stated = registered.subject, _released(registered)
    found = {}
    for path, artifact in signed.items():
        _, _, inside = path.split("/", 2)
        if inside != PROVENANCE:
            name = version_file(version, f"targets/{inside}" if "/" in inside else inside)
            found[name] = sha256_bytes(artifact.content)
    for name in sorted(found.keys() | stated.keys()):
        if found.get(name) != stated.get(name):
            raise EvidenceError(
                f"expected {name} of {registered.pipeline} as it was stated when the version was registered (sha256 "
                f"{stated.get(name, 'of none')}), the release would sign {found.get(name, 'none')}; nothing was "
                "signed: restore the registry's files, or register the version again"
            )


def phase_record(percent: int, decision: Decision) -> dict[str, Any]:
    """What the ledger keeps of one phase; also logged, one gate per line."""
    _LOG.info("phase of %d%%: %s", percent, explain(decision))
    return {
        "percent": percent,
        "verdict": "pass" if decision.action == "continue" else "fail",
        "reason": decision.reason,
        "gates": [asdict(verdict) for verdict in decision.verdicts],
    }
