"""The gate of one partition: its datasets against their contracts, the reports kept beside the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from slipway.errors import EmptyPartitionError
from slipway.lake.client import Lake
from slipway.lake.publish import REPORTS
from slipway.lake.uri import LakeUri
from slipway.pipeline.spec import Contract, Pipeline
from slipway.quality.check import check
from slipway.quality.report import QualityReport, raise_if_failed
from slipway.stages.landing import STAGE

PAGE = "report.html"

Reported = Callable[[str, LakeUri], None]
"""Told where the page of a dataset's report is: at a commit, so that it stays what it was."""


def unread(_dataset: str, _page: LakeUri) -> None:
    """For callers that do not care where reports are."""


@dataclass(frozen=True)
class Gate:
    """Judges what lies on a run branch; ``reported`` hears of every report that was committed."""

    lake: Lake
    pipeline: Pipeline
    branch: str
    partition: str
    fingerprint: str
    reported: Reported = unread

    def judge(self, dataset: str, table: pa.Table) -> QualityReport:
        """Put the report on the branch, uncommitted; a failed one is committed before the error is raised.

        Raises:
            ContractError: the data breaks its contract; the run branch is kept and holds the report.
            EmptyPartitionError: it has no rows and needs some; likewise.
        """
        contract = self._contract(dataset)
        report = check(dataset, table, contract, self.partition)
        if report.outcome == "pass":
            self._keep(report)
            return report
        where = self.reject(report)
        if table.num_rows == 0 and contract.min_rows:
            source, advice = ("job made", "job") if dataset == STAGE else ("feed has", "feed")
            raise EmptyPartitionError(
                f"{dataset} of {self.partition}: expected at least {contract.min_rows} rows, the {source} none; "
                f"nothing was published. Report: {where}. Check the {advice} for that day, then clear the run"
            )
        raise_if_failed(report, str(where))
        return report

    def reject(self, report: QualityReport) -> LakeUri:
        """Keep the run branch as it is for inspection, with the report of what is wrong; returns its page."""
        self._keep(report)
        message = f"{self.pipeline.name} {self.partition}: {report.dataset} rejected"
        metadata = {"slipway.fingerprint": self.fingerprint, "slipway.outcome": "rejected"}
        commit = self.lake.commit(self.pipeline.repository, self.branch, message, metadata)
        self.published(report.dataset, commit)
        return self._folder(report.dataset) / PAGE

    def published(self, dataset: str, commit: str) -> None:
        """Say where the report of a dataset is, now that a commit has it."""
        self.reported(dataset, (self._folder(dataset) / PAGE).at(commit))

    def written(self, dataset: str) -> bytes:
        """The report on the branch, as JSON; raises ``LakeNotFoundError`` where there is none."""
        return self.lake.get(self._folder(dataset) / "report.json")

    def _keep(self, report: QualityReport) -> None:
        folder = self._folder(report.dataset)
        self.lake.put(folder / "report.json", report.to_json(), content_type="application/json")
        self.lake.put(folder / PAGE, report.to_html(), content_type="text/html")

    def _folder(self, dataset: str) -> LakeUri:
        return LakeUri(self.pipeline.repository, self.branch, report_folder(dataset, self.partition))

    def _contract(self, dataset: str) -> Contract:
        return self.pipeline.features.contract if dataset == STAGE else self.pipeline.raw[dataset]


def report_folder(dataset: str, partition: str) -> str:
    """Where a partition's report lies in the lake."""
    return f"{REPORTS}{dataset}/date={partition}"
