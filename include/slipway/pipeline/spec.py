"""The pipeline YAML as types: strict, frozen, no unknown keys.

One file in ``include/pipelines/`` describes one product: where its raw data comes from, which Spark job makes its
features, what the data must satisfy, which model learns from it, which targets it is compiled for and how it is
released. Everything here is a value; nothing is looked up.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,40}$")]
ColumnType = Literal["string", "int64", "float64", "bool", "timestamp"]


class Spec(BaseModel):
    """Base of every part of a pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TableSource(Spec):
    """One raw table: a CSV file (plain, ``.gz`` or ``.zip``) inside an installed Python package.

    Rows belong to a partition either by their own date (``date_columns``: year, month, day) or by their place in
    the file (``rows_per_day``: day *n* since 1970-01-01 gets batch *n mod batches*).
    """

    package: str
    file: str
    columns: tuple[str, ...] | None = None
    """Column names of a file without a header line."""
    date_columns: tuple[str, str, str] | None = None
    rows_per_day: Annotated[int, Field(gt=0)] | None = None

    @field_validator("date_columns", "columns", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_rule(self) -> TableSource:
        if (self.date_columns is None) == (self.rows_per_day is None):
            raise ValueError("give exactly one of date_columns or rows_per_day")
        return self


class Feed(Spec):
    """Where raw data comes from, one entry per table.

    With ``replay_year`` a partition of any year is served the same calendar day of that year (29 February the 28th,
    where that year has none), so a schedule that runs today has data.
    """

    replay_year: Annotated[int, Field(ge=1970, le=2100)] | None = None
    tables: Annotated[dict[Name, TableSource], Field(min_length=1)]


class ColumnRule(Spec):
    """What one column must satisfy."""

    type: ColumnType
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] | None = None
    max_null_share: Annotated[float, Field(ge=0, le=1)] = 0.0

    @field_validator("allowed", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("min", "max", "max_null_share", mode="before")
    @classmethod
    def _as_float(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Contract(Spec):
    """What a dataset must satisfy to be published."""

    min_rows: Annotated[int, Field(ge=0)]
    """0 for a raw table that may be empty on some days; any other table without rows stops the run."""
    max_rows: Annotated[int, Field(ge=1)]
    key: tuple[str, ...] = ()
    columns: Annotated[dict[str, ColumnRule], Field(min_length=1)]
    extra_columns: bool = False
    """Whether columns the contract does not name may be present."""

    @field_validator("key", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _key_is_declared(self) -> Contract:
        missing = [name for name in self.key if name not in self.columns]
        if missing:
            raise ValueError(f"key names columns the contract does not declare: {missing}")
        return self


class Features(Spec):
    """The Spark job in ``spark_jobs/`` that turns raw tables into features, and its input tables."""

    job: Name
    contract: Contract


class Baseline(Spec):
    """The plain baseline a model must beat.

    ``group_share``: the training set's share of each class per value of ``column``;
    ``majority``: the training set's most frequent class.
    """

    kind: Literal["group_share", "majority"]
    column: str | None = None

    @model_validator(mode="after")
    def _column_fits_kind(self) -> Baseline:
        if (self.kind == "group_share") != (self.column is not None):
            raise ValueError("group_share needs column, majority takes none")
        return self


class Margins(Spec):
    """By how much of the primary metric a model must beat what it is compared with."""

    baseline: float
    champion: float


class Training(Spec):
    """Which model learns, from how much data, and when it is good enough."""

    model: Name
    """Module in ``include/models/``."""
    pod: Name
    """Pod manifest in ``include/pods/``."""
    min_new_partitions: Annotated[int, Field(ge=1, le=28)]
    """New partitions of one calendar month that start a training; every month has 28 days."""
    holdout_partitions: Annotated[int, Field(ge=1)]
    """The latest partitions, never trained on."""
    max_partitions: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]
    parameters: dict[str, int | float | str | bool]
    metric: Literal["auc", "accuracy"]
    margins: Margins
    baseline: Baseline
    slices: tuple[str, ...] = ()

    @field_validator("slices", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class Bounds(Spec):
    """How far a compiled artifact may be from the PyTorch model, on held-out rows."""

    min_agreement: Annotated[float, Field(ge=0, le=1)]
    """Share of rows with the same predicted class."""
    max_metric_loss: Annotated[float, Field(ge=0)]
    """Drop of the primary metric."""
    max_p50_ms: Annotated[float, Field(gt=0)]
    """Median latency of one row, milliseconds."""
    max_bytes: Annotated[int, Field(gt=0)]


class Target(Spec):
    """One kind of edge device the model is compiled for."""

    name: Literal["x86-cpu", "x86-cpu-int8", "jetson-orin"]
    bounds: Bounds
    pod: Name | None = None
    """The pod it is compiled in, where it needs other hardware than the rest."""


class Compile(Spec):
    """The targets and the pod they are compiled in."""

    pod: Name
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]

    @field_validator("targets", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @property
    def pods(self) -> dict[str, str]:
        """The pod of each target, by the target's name."""
        return {target.name: target.pod or self.pod for target in self.targets}


class Gates(Spec):
    """Bounds on what devices report in a phase."""

    min_update_success: Annotated[float, Field(ge=0, le=1)]
    """Share of a phase's devices that must install it; as many as that leaves may be off without holding up a gate."""
    max_error_rate: Annotated[float, Field(ge=0, le=1)]
    max_p95_ms: Annotated[float, Field(gt=0)]
    min_golden_agreement: Annotated[float, Field(ge=0, le=1)]
    max_prediction_shift: Annotated[float, Field(ge=0, le=1)]
    """Largest difference of any class's share of predictions from the evaluation's."""


class Release(Spec):
    """How a version reaches the fleet."""

    phases: Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], Field(min_length=1)]
    min_inferences: Annotated[int, Field(ge=1)]
    """Inferences on the new version a phase must have seen before it is judged."""
    observe_seconds: Annotated[int, Field(ge=1)]
    """How long a phase may wait for enough evidence."""
    gates: Gates

    @field_validator("phases", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("phases")
    @classmethod
    def _rising_to_all(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)) or value[-1] != 100:
            raise ValueError("phases must rise and end with 100")
        return value


class Pipeline(Spec):
    """One product: a dataset, a model, its targets and its release policy."""

    name: Name
    title: str
    owner: str
    repository: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{2,62}$")]
    """The lakeFS repository."""
    schedule: str
    """Cron expression, UTC; one run per day-partition."""
    start: dt.date
    """First partition; the form and backfills may not ask for one before it either."""
    keep_run_branches_days: Annotated[int, Field(ge=1)] = 14
    """How long a run branch that was not published stays for inspection after its last change."""
    recheck: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the stages whose outputs are there that are run again all the same, and compared."""
    feed: Feed
    raw: dict[Name, Contract]
    """A contract for every raw table of the feed."""
    features: Features
    training: Training
    compile: Compile
    release: Release

    @model_validator(mode="after")
    def _raw_matches_feed(self) -> Pipeline:
        if set(self.raw) != set(self.feed.tables):
            raise ValueError(
                f"raw declares contracts for {sorted(self.raw)}, the feed has tables {sorted(self.feed.tables)}"
            )
        return self

    def target(self, name: str) -> Target:
        """The target of that name; raises ``KeyError`` when the pipeline does not compile for it."""
        targets: dict[str, Target] = {target.name: target for target in self.compile.targets}
        return targets[name]
