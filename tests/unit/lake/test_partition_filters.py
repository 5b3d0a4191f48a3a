from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql.datasource import (
    EqualNullSafe,
    EqualTo,
    Filter,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNotNull,
    IsNull,
    LessThan,
    LessThanOrEqual,
    Not,
    StringContains,
    StringEndsWith,
    StringStartsWith,
)

from slipway.lake.partition_filters import may_match

DATE = ("date",)
TEXT = {"date": pa.string()}


def kept(found: Filter, value: str | None, kind: pa.DataType | None = None) -> bool:
    return may_match([found], {"date": value}, {"date": kind or pa.string()})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (EqualTo(DATE, "2013-01-02"), ["2013-01-02"]),
        (EqualTo(DATE, None), []),
        (EqualNullSafe(DATE, None), [None]),
        (EqualNullSafe(DATE, "2013-01-01"), ["2013-01-01"]),
        (GreaterThan(DATE, "2013-01-01"), ["2013-01-02"]),
        (GreaterThanOrEqual(DATE, "2013-01-01"), ["2013-01-01", "2013-01-02"]),
        (LessThan(DATE, "2013-01-02"), ["2013-01-01"]),
        (LessThanOrEqual(DATE, "2013-01-01"), ["2013-01-01"]),
        (In(DATE, ("2013-01-02", None)), ["2013-01-02"]),
        (IsNull(DATE), [None]),
        (IsNotNull(DATE), ["2013-01-01", "2013-01-02"]),
        (StringStartsWith(DATE, "2013-01-01"), ["2013-01-01"]),
        (StringEndsWith(DATE, "-02"), ["2013-01-02"]),
        (StringContains(DATE, "01-0"), ["2013-01-01", "2013-01-02"]),
        (Not(EqualTo(DATE, "2013-01-01")), ["2013-01-02"]),
        (Not(In(DATE, ("2013-01-01", None))), []),
        (Not(IsNull(DATE)), ["2013-01-01", "2013-01-02"]),
    ],
)
def test_partitions_that_cannot_pass_a_filter_are_left_out(found: Filter, expected: list[str | None]) -> None:
    assert [value for value in ("2013-01-01", "2013-01-02", None) if kept(found, value)] == expected


@pytest.mark.parametrize(
    "found",
    [
        EqualTo(("delay",), 1.0),
        EqualTo(("place", "code"), "EWR"),
        EqualTo(DATE, 20130101),
        Not(EqualTo(DATE, 20130101)),
        In(DATE, (1, 2)),
        GreaterThan(DATE, 1.5),
    ],
)
def test_a_filter_that_decides_nothing_keeps_every_partition(found: Filter) -> None:
    assert kept(found, "2013-01-01")


def test_values_compare_as_the_type_the_query_reads_them() -> None:
    assert kept(GreaterThan(DATE, 9), "10", pa.int32())
    assert not kept(GreaterThan(DATE, 10), "9", pa.int32())
    assert kept(GreaterThan(DATE, 10), "not a number", pa.int32())
    assert kept(GreaterThan(DATE, 10.5), "9", pa.float64())


def test_all_filters_must_be_possible() -> None:
    filters = [GreaterThan(DATE, "2013-01-01"), EqualTo(("delay",), 1.0)]
    assert may_match(filters, {"date": "2013-01-02"}, TEXT)
    assert not may_match(filters, {"date": "2013-01-01"}, TEXT)
    assert may_match([], {"date": "2013-01-01"}, TEXT)


ORDERS: list[tuple[type[Filter], Callable[[Any, Any], bool]]] = [
    (LessThan, operator.lt),
    (LessThanOrEqual, operator.le),
    (GreaterThan, operator.gt),
    (GreaterThanOrEqual, operator.ge),
]


@given(st.text(), st.text(), st.sampled_from(ORDERS))
def test_text_compares_by_its_utf8_bytes_as_spark_does(
    value: str, other: str, order: tuple[Any, Callable[[Any, Any], bool]]
) -> None:
    kind, compare = order
    assert kept(kind(DATE, other), value) == compare(value.encode(), other.encode())
