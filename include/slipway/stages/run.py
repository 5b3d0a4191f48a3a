"""Who asked: the scheduler's run that a stage works for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.identity.checkout import checkout
from slipway.identity.machine import this_machine
from slipway.lake.publish import provenance
from slipway.ledger.statement import Execution


@dataclass(frozen=True)
class Run:
    """One run of a DAG, as commit metadata and registry tags name it."""

    dag_id: str
    run_id: str
    run_type: str
    run_url: str
    logical_date: dt.datetime | None = None
    note: str = ""

    def execution(self, root: Path, started: dt.datetime, machine: Mapping[str, str] | None = None) -> Execution:
        """What a statement says of this run: the checkout at ``root``, and this machine unless another is named.

        The work began at ``started``, and ends now.
        """
        git = checkout(root)
        return Execution(
            dag_id=self.dag_id,
            run_id=self.run_id,
            run_url=self.run_url,
            started=started,
            finished=max(started, dt.datetime.now(dt.UTC)),
            git_commit=git.commit,
            git_dirty=git.dirty,
            machine=this_machine() if machine is None else machine,
        )

    def metadata(
        self,
        *,
        pipeline: str,
        stage: str,
        fingerprint: str,
        code: str,
        inputs: Mapping[str, str],
        rows: Mapping[str, int],
        partition: str | None = None,
    ) -> dict[str, str]:
        """Metadata of a commit this run makes."""
        made = provenance(
            dag_id=self.dag_id,
            run_id=self.run_id,
            run_url=self.run_url,
            run_type=self.run_type,
            logical_date=self.logical_date,
            pipeline=pipeline,
            stage=stage,
            fingerprint=fingerprint,
            code_digest=code,
            input_digests=inputs,
            rows=rows,
            partition=partition,
        )
        return {**made, "slipway.note": self.note} if self.note else made
