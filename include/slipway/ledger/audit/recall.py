"""A recall: which version each pipeline's devices are returned to when a commit is bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from slipway.ledger.audit.answers import CommitAnswer
from slipway.ledger.audit.ask import Records
from slipway.release.channel_state import ChannelState, Publication


class Channels(Protocol):
    """What the release channel is asked: the ledger knows a release only when it has ended."""

    def publication(self, pipeline: str) -> Publication | None:
        """What is published for the pipeline now; raises ChannelError where that does not verify."""
        ...


@dataclass(frozen=True)
class Recall:
    """What is to be done about one pipeline."""

    pipeline: str
    commit: str
    devices: int
    """That run a version made of the commit, as far as is known."""
    champion: str | None
    """The version everybody gets now."""
    clean: str | None
    """The last version that was everybody's once and was not made of the commit; ``None``: there is none."""
    under_way: ChannelState | None = None
    """The release that gives devices a version made of the commit right now."""

    @property
    def needed(self) -> bool:
        """Whether a run has to change something; else devices that still run a bad version get a clean one anyway."""
        return self.clean != self.champion or self.under_way is not None

    @property
    def dag_id(self) -> str:
        return f"{self.pipeline}.release"

    @property
    def run_id(self) -> str:
        """The same whenever the same is asked for, so that asking twice opens one run."""
        bad = self.under_way.release if self.under_way else f"v{self.champion}"
        return f"recall__{self.commit[:16]}__{bad}_to_v{self.clean}"

    @property
    def conf(self) -> dict[str, Any]:
        """Of the run: a person is asked before anything changes, and before the last phase.

        It rolls back a release under way, and ends there when the clean version is everybody's then.
        """
        return {
            "version": self.clean,
            "approve_first": True,
            "approval": True,
            "supersede": True,
            "note": f"recall of commit {self.commit}",
        }


def recalls(records: Records, answer: CommitAnswer, channels: Channels) -> tuple[Recall, ...]:
    """One recall for each pipeline that gives its devices a version made of the commit, or has devices running one.

    Raises:
        ChannelError: a pipeline's channel cannot be read, so nobody knows what its devices are told.
    """
    affected: dict[str, set[str]] = {}
    for one in answer.versions:
        affected.setdefault(one.pipeline, set()).add(one.version)
    found = (_recall(records, answer, channels, name, versions) for name, versions in affected.items())
    return tuple(one for one in found if one.devices or one.under_way or one.champion in affected[one.pipeline])


def _recall(records: Records, answer: CommitAnswer, channels: Channels, pipeline: str, affected: set[str]) -> Recall:
    running = {ran.device_id for ran in answer.running if ran.pipeline == pipeline}
    published = channels.publication(pipeline)
    under_way = published.state if published and published.state.next in affected else None
    reigns = records.reigns(pipeline)
    champion = reigns[-1].version if reigns else None
    once = {reign.version for reign in reigns} - affected
    newest = next((version for version in reversed(records.versions(pipeline)) if version in once), None)
    clean = champion if champion in once else newest
    return Recall(pipeline, answer.commit, len(running), champion, clean, under_way)
