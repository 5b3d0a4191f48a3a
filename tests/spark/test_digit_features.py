"""The features of digits: scaled pixels, one row per scan."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

import digit_features
from slipway.errors import ContractError
from slipway.feed.fetch import fetch
from slipway.pipeline.load import load_pipeline
from slipway.quality.check import check
from slipway.settings import settings

PIPELINE = load_pipeline(settings().pipelines / "digit_reader.yaml")


def features(spark: Any, raw: pa.Table, day: str) -> pa.Table:
    return digit_features.transform({"digits": spark.createDataFrame(raw)}, day).toArrow()


@pytest.fixture(scope="module")
def raw() -> pa.Table:
    return fetch(PIPELINE.feed, dt.date(2013, 1, 1))["digits"]


def test_a_day_of_scans_is_scaled_keyed_sorted_and_satisfies_its_contract(spark: Any, raw: pa.Table) -> None:
    result = features(spark, raw.take(pa.array(reversed(range(raw.num_rows)))), "2013-01-01")

    assert check("features", result, PIPELINE.features.contract).failures == ()
    assert result.column_names == list(PIPELINE.features.contract.columns)
    for row, scan in zip(result.to_pylist(), raw.to_pylist(), strict=True):
        assert row["sample_key"] == f"2013-01-01-{scan['row']:04d}"
        assert row["digit"] == scan["digit"]
        assert [row[pixel] for pixel in digit_features.PIXELS] == [scan[p] / 16 for p in digit_features.PIXELS]


def test_a_missing_pixel_is_named_before_spark_runs(spark: Any, raw: pa.Table) -> None:
    with pytest.raises(ContractError, match=r"raw table 'digits'.*missing: 'p07'"):
        features(spark, raw.drop_columns(["p07"]), "2013-01-01")
