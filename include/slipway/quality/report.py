"""What a check of a dataset found: values without a clock, so the same data gives the same report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from slipway.errors import ContractError

Outcome = Literal["pass", "fail"]
_MESSAGE_LIMIT = 20  # failing expectations an error message spells out; the report has all of them


@dataclass(frozen=True)
class Expectation:
    """One thing a contract asks for, and what was there."""

    name: str
    """``rows``, ``unique_key``, ``no_extra_columns``, or per column ``present``, ``type``, ``nulls``, ``range``,
    ``allowed``."""
    column: str | None
    outcome: Outcome
    observed: str
    expected: str


@dataclass(frozen=True)
class Histogram:
    """Equal-width bins: ``counts[i]`` values lie between ``edges[i]`` and ``edges[i + 1]``."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ColumnStatistics:
    """One column in numbers. Numbers have minimum to histogram, everything else has its most frequent values."""

    name: str
    type: str
    nulls: int
    distinct: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    histogram: Histogram | None = None
    top: tuple[tuple[str, int], ...] = ()
    """Most frequent values and how often they occur."""


@dataclass(frozen=True)
class Verdict:
    """What became of one dataset at its gate: all that publishing asks of a report."""

    dataset: str
    outcome: Outcome
    judged: str
    """The path, or the folder ending in ``/``, of what was looked at."""


@dataclass(frozen=True)
class QualityReport:
    """The verdict on one dataset, or one partition of it, with everything it rests on."""

    dataset: str
    partition: str | None
    rows: int
    outcome: Outcome
    expectations: tuple[Expectation, ...]
    columns: tuple[ColumnStatistics, ...]

    @property
    def failures(self) -> tuple[Expectation, ...]:
        return tuple(expectation for expectation in self.expectations if expectation.outcome == "fail")

    def to_json(self) -> bytes:
        """The report as indented JSON with sorted keys; equal reports give equal bytes."""
        return (json.dumps(asdict(self), sort_keys=True, indent=1, allow_nan=False) + "\n").encode()

    def to_html(self) -> bytes:
        """The report as one self-contained page with plots, for people; equal reports give equal bytes."""
        from slipway.quality.page import render

        return render(self)


def outcome_in(report: bytes) -> Outcome:
    """The outcome that ``QualityReport.to_json`` wrote down; anything but a clear pass is a failure."""
    try:
        return "pass" if json.loads(report)["outcome"] == "pass" else "fail"
    except (ValueError, KeyError, TypeError):
        return "fail"


def unreadable(dataset: str, partition: str, reason: str) -> QualityReport:
    """The report on data that could not even be read."""
    problem = Expectation("readable", None, "fail", observed=reason, expected="whole Parquet files of one schema")
    return QualityReport(dataset, partition, 0, "fail", (problem,), ())


def raise_if_failed(report: QualityReport, where: str) -> None:
    """Stop unless the report passed.

    Raises:
        ContractError: names ``where`` the data lies and every failing expectation, and says what to do.
    """
    if report.outcome == "pass":
        return
    failures = report.failures
    lines = [
        f"  - {failure.column + ': ' if failure.column else ''}{failure.name}: "
        f"expected {failure.expected}, got {failure.observed}"
        for failure in failures[:_MESSAGE_LIMIT]
    ]
    if len(failures) > _MESSAGE_LIMIT:
        lines.append(f"  - and {len(failures) - _MESSAGE_LIMIT} more in the report")
    partition = f", partition {report.partition}" if report.partition else ""
    raise ContractError(
        f"{where}: dataset {report.dataset!r}{partition} does not satisfy its contract, "
        f"{len(failures)} of {len(report.expectations)} expectations fail:\n"
        + "\n".join(lines)
        + "\nNothing was published. Correct the data at its source, or, if the data is right, the contract in the "
        "pipeline's YAML, then run the partition again."
    )
