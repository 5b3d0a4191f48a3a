from __future__ import annotations

import pytest

from slipway.errors import DataError
from slipway.lake.layout import data_files, part_name, partition_columns, partition_values, runs
from slipway.lake.records import ObjectInfo


def test_data_is_parquet_that_no_underscore_or_dot_hides() -> None:
    paths = ["d/a.parquet", "d/x=1/b.parquet", "d/_SUCCESS", "d/_q/c.parquet", "d/.t.parquet", "d/e.csv"]
    found = data_files([ObjectInfo(path, 1, "") for path in paths], "d/")
    assert [item.path for item in found] == ["d/a.parquet", "d/x=1/b.parquet"]


def test_a_hidden_folder_above_the_prefix_does_not_hide_its_data() -> None:
    path = "_quality/flights/date=2013-01-01/sample.parquet"
    assert data_files([ObjectInfo(path, 1, "")], "_quality/flights/")


def test_partition_values_are_strings_from_the_folders_below_the_prefix() -> None:
    path = "raw/date=0/flights/date=2013-01-01/carrier=U%20A/hour=__HIVE_DEFAULT_PARTITION__/part-00000.parquet"
    assert partition_values(path, "raw/date=0/flights/") == {"date": "2013-01-01", "carrier": "U A", "hour": None}


def test_a_file_name_with_an_equals_sign_is_no_partition() -> None:
    assert partition_values("raw/a=1.parquet", "raw/") == {}


def test_objects_that_disagree_on_their_partitions_are_not_one_dataset() -> None:
    assert partition_columns({"a": {"date": "1"}, "b": {"date": "2"}}) == ("date",)
    assert partition_columns({}) == ()
    with pytest.raises(DataError, match="one dataset at a time"):
        partition_columns({"a": {"date": "1"}, "b": {"hour": "2"}})


def test_part_names_sort_as_their_numbers() -> None:
    assert [part_name(number) for number in (0, 12)] == ["part-00000.parquet", "part-00012.parquet"]


def test_runs_cover_every_item_once_and_just_reach_their_target() -> None:
    assert list(runs([3, 3, 3, 3], 5)) == [(0, 2), (2, 4)]
    assert list(runs([9, 1, 1], 5)) == [(0, 1), (1, 3)]
    assert list(runs([], 5)) == []
