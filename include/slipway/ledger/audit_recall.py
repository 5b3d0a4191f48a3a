"""A recall: which version each pipeline's devices are returned to when a commit is bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipway.ledger.audit import Records
from slipway.ledger.audit_answers import CommitAnswer


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

    @property
    def needed(self) -> bool:
        """Whether another version has to be released; else devices that still run a bad one get a clean one anyway."""
        return self.clean != self.champion

    @property
    def dag_id(self) -> str:
        return f"{self.pipeline}.release"

    @property
    def run_id(self) -> str:
        """The same whenever the same is asked for, so that asking twice opens one run."""
        return f"recall__{self.commit[:16]}__v{self.champion}_to_v{self.clean}"

    @property
    def conf(self) -> dict[str, Any]:
        """Of the run: a person is asked before anything changes, and before the last phase."""
        return {
            "version": self.clean,
            "approve_first": True,
            "approval": True,
            "supersede": True,
            "note": f"recall of commit {self.commit}",
        }


def recalls(records: Records, answer: CommitAnswer) -> tuple[Recall, ...]:
    """One recall for each pipeline that gives its devices a version made of the commit, or has devices running one."""
    affected: dict[str, set[str]] = {}
    for one in answer.versions:
        affected.setdefault(one.pipeline, set()).add(one.version)
    found = (_recall(records, answer, name, versions) for name, versions in affected.items())
    return tuple(one for one in found if one.devices or one.champion in affected[one.pipeline])


def _recall(records: Records, answer: CommitAnswer, pipeline: str, affected: set[str]) -> Recall:
    running = {ran.device_id for ran in answer.running if ran.pipeline == pipeline}
    reigns = records.reigns(pipeline)
    champion = reigns[-1].version if reigns else None
    once = {reign.version for reign in reigns} - affected
    newest = next((version for version in reversed(records.versions(pipeline)) if version in once), None)
    return Recall(pipeline, answer.commit, len(running), champion, champion if champion in once else newest)
