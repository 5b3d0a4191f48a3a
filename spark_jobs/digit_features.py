"""Scanned digits as model inputs: pixels scaled to 0..1, with the digit they show."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame  # noqa: TID253  a leaf: this is what runs on Spark
from pyspark.sql import functions as sf  # noqa: TID253

import job

INPUTS = ("digits",)

PIXELS = tuple(f"p{index:02d}" for index in range(64))
"""Row by row, 8 x 8."""
FULL_INK = 16
"""Darkest value of a raw pixel."""


def transform(tables: Mapping[str, DataFrame], partition: str) -> DataFrame:
    """``sample_key`` (partition and row of the file), ``p00``..``p63`` in 0..1, ``digit``; sorted by key.

    Raises:
        ContractError: the raw table lacks a column.
    """
    job.require(tables, {"digits": (*PIXELS, "digit", "row")})
    key = sf.format_string("%s-%04d", sf.lit(partition), sf.col("row"))
    features = tables["digits"].select(
        key.alias("sample_key"),
        *[(sf.col(pixel) / FULL_INK).cast("double").alias(pixel) for pixel in PIXELS],
        sf.col("digit").cast("bigint").alias("digit"),
    )
    return features.coalesce(1).sortWithinPartitions("sample_key")


if __name__ == "__main__":
    job.main(transform, INPUTS)
