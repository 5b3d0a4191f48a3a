"""One staged release, step by step; each step is what one task of the release DAG calls.

Every step is keyed by the release's id and idempotent: it looks at what the channel publishes, does what is missing
and returns the same state again on a retry. A step of a release the channel has left raises instead of reviving it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from slipway.errors import ReleaseError
from slipway.pipeline.spec import Pipeline
from slipway.release.channel_state import ChannelState, Publication, ReleaseChannel
from slipway.release.evidence import Device, Evidence, EvidenceSource
from slipway.release.gates import judge_all
from slipway.release.plan import Decision, choose_salt, cohort, decide
from slipway.release.version_files import artifacts_of, targets_of

SILENT_SECONDS = 60.0
"""Without a word for so long, a device counts as off: twice what an idle one lets pass (``device.agent.Pace``)."""


@dataclass(frozen=True)
class Rollout:
    """The release ``release`` of model version ``version``; see ``plan.release_id`` for the id."""

    pipeline: Pipeline
    release: str
    version: str
    channel: ReleaseChannel
    source: EvidenceSource
    clock: Callable[[], float] = field(default=time.time)

    def prepare(self, files: Mapping[str, bytes]) -> ChannelState:
        """Publish the version's files; no device takes them yet.

        ``files`` are those of the registered version: ``targets/<target>/model.*`` and ``manifest.json``,
        ``golden.npz``, ``evaluation.json``. The salt is chosen from the devices enrolled now and kept on a retry.

        Raises ReleaseError when a file is missing or does not match its manifest, an enrolled device's target has no
        artifact, no device is enrolled, the version is current already, or another release is under way.
        """
        published = self.channel.publication(self.pipeline.name)
        if published and published.state.release == self.release:
            return self._in_progress(published).state
        self._refuse_collision(published)
        artifacts = artifacts_of(self.pipeline.name, self.version, files)
        devices = self.source.devices(self.pipeline.name)
        self._refuse_uncovered(devices, targets_of(files))
        first, *later = self.pipeline.release.phases
        state = ChannelState(
            pipeline=self.pipeline.name,
            release=self.release,
            salt=choose_salt(
                self.release,
                [device.device_id for device in devices],
                first,
                silent=self._silent(devices),
                early_percent=[0, first, *later][-2],
            ),
            percent=0,
            current=published.state.current if published else None,
            next=self.version,
        )
        return self.channel.publish(state, artifacts, f"prepare version {self.version}")

    def open_phase(self, percent: int) -> ChannelState:
        """Give the version to ``percent`` of the fleet. Raises ReleaseError when that is no phase or a step back."""
        phases = self.pipeline.release.phases
        if percent not in phases:
            raise ReleaseError(f"expected one of the pipeline's phases {list(phases)}, got {percent}")
        state = self._in_progress().state
        if percent < state.percent:
            raise ReleaseError(f"{self.release} is at {state.percent}% already, {percent}% would be a step back")
        wider = state.model_copy(update={"percent": percent})
        return self.channel.publish(wider, reason=f"phase of {percent}%")

    def observe(self) -> Decision:
        """Judge the open phase on what devices reported so far. How long it waited is read from the channel itself."""
        published = self._in_progress()
        waited = self.clock() - published.published_at
        verdicts = judge_all(self._evidence(published.state), self.pipeline.release.gates)
        return decide(verdicts, waited, self.pipeline.release.observe_seconds)

    def complete(self) -> ChannelState:
        """Make the version the current one for everybody. Raises ReleaseError before the phase of 100%."""
        published = self._published()
        state = published.state
        if state.completed:
            return state
        state = self._in_progress(published).state
        if state.percent != 100:
            raise ReleaseError(f"{self.release} is at {state.percent}%; open the phase of 100% before completing it")
        done = state.model_copy(update={"current": self.version, "next": None})
        return self.channel.publish(done, reason=f"version {self.version} completed")

    def roll_back(self, reason: str) -> ChannelState:
        """Return every device to the version before; a repeat changes nothing. Raises ReleaseError when completed."""
        return self.channel.rollback(self.pipeline.name, self.release, reason)

    def _evidence(self, state: ChannelState) -> Evidence:
        devices = self.source.devices(self.pipeline.name)
        evaluation = json.loads(self.channel.read(f"{self.pipeline.name}/{self.version}/evaluation.json"))
        return Evidence(
            release=self.release,
            version=self.version,
            cohort=cohort(state.salt, (device.device_id for device in devices), state.percent),
            reports=self.source.evidence(self.pipeline.name, self.release, self.version),
            min_inferences=self.pipeline.release.min_inferences,
            expected_shares=evaluation.get("prediction_shares", {}),
            silent=self._silent(devices),
        )

    def _silent(self, devices: tuple[Device, ...]) -> frozenset[str]:
        since = self.clock() - SILENT_SECONDS
        return frozenset(one.device_id for one in devices if one.last_seen is None or one.last_seen < since)

    def _published(self) -> Publication:
        published = self.channel.publication(self.pipeline.name)
        if published is None or published.state.release != self.release:
            running = published.state.release if published else "no release"
            raise ReleaseError(f"the channel of {self.pipeline.name} is in {running}; prepare {self.release} first")
        return published

    def _in_progress(self, published: Publication | None = None) -> Publication:
        found = published or self._published()
        if found.state.next is None:
            ended = "completed" if found.state.completed else f"rolled back ({found.reason})"
            raise ReleaseError(f"{self.release} was {ended}; start a new release to go on")
        return found

    def _refuse_collision(self, published: Publication | None) -> None:
        if published is None:
            return
        state = published.state
        if state.next is not None:
            raise ReleaseError(
                f"{state.release} is at {state.percent}%; wait for its run to end; if that was stopped by hand, "
                "release with `supersede`, which rolls it back first"
            )
        if state.current == self.version:
            raise ReleaseError(f"the fleet is on version {self.version} already; release another version")

    def _refuse_uncovered(self, devices: tuple[Device, ...], targets: frozenset[str]) -> None:
        if not devices:
            raise ReleaseError(f"no device of {self.pipeline.name} is enrolled; nothing could be observed")
        if uncovered := {device.target for device in devices} - targets:
            count = sum(device.target in uncovered for device in devices)
            raise ReleaseError(
                f"{count} devices have targets {sorted(uncovered)}, version {self.version} has {sorted(targets)}; "
                "compile the missing targets, or move those devices to another pipeline"
            )
