from __future__ import annotations

import pytest

from slipway.errors import ConfigurationError
from slipway.lake.run_branch import ingest_branch, train_branch
from slipway.lake.uri import LakeUri


def test_a_uri_reads_back_as_it_was_written() -> None:
    text = "lakefs://flight-delay/main~2/raw/flights/date=2013-01-01/part-00000.parquet"
    uri = LakeUri.parse(text)
    assert uri == LakeUri("flight-delay", "main~2", "raw/flights/date=2013-01-01/part-00000.parquet")
    assert str(uri) == text


@pytest.mark.parametrize("text", ["lakefs://flight-delay/main", "lakefs://flight-delay/main/"])
def test_a_uri_without_a_path_is_the_root(text: str) -> None:
    assert LakeUri.parse(text) == LakeUri("flight-delay", "main", "")
    assert LakeUri.parse(text).folder == ""


def test_children_are_joined_with_one_slash() -> None:
    root = LakeUri("flight-delay", "main")
    assert root / "raw" / "flights" == LakeUri("flight-delay", "main", "raw/flights")
    assert LakeUri("flight-delay", "main", "raw/") / "/flights" == LakeUri("flight-delay", "main", "raw/flights")


def test_a_folder_does_not_match_its_longer_neighbour() -> None:
    assert LakeUri("flight-delay", "main", "features/date=2013-01-01").folder == "features/date=2013-01-01/"


def test_the_ref_can_be_replaced() -> None:
    assert LakeUri("flight-delay", "main", "raw").at("abc") == LakeUri("flight-delay", "abc", "raw")


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/key",
        "lakefs://",
        "lakefs://flight-delay",
        "lakefs://flight-delay//path",
        "lakefs://Flight_Delay/main/path",
        "lakefs://ab/main/path",
        "lakefs://flight-delay/ma in/path",
        "lakefs://flight-delay/main//path",
    ],
)
def test_what_is_not_a_lakefs_uri_is_refused_with_what_came(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        LakeUri.parse(text)


def test_a_path_longer_than_lakefs_takes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="1024"):
        LakeUri("flight-delay", "main", "a" * 1025)


def test_an_empty_child_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="name of an object"):
        LakeUri("flight-delay", "main") / ""


def test_a_run_branch_is_named_by_pipeline_partition_and_fingerprint() -> None:
    fingerprint = "0123456789abcdef" * 4
    assert ingest_branch("flight_delay", "2013-01-01", fingerprint) == "run-flight_delay-2013-01-01-0123456789ab"
    assert train_branch("flight_delay", fingerprint) == "train-flight_delay-0123456789ab"


def test_a_run_branch_holds_only_what_lakefs_accepts() -> None:
    name = ingest_branch("flight_delay", "2013-01-01T06:00:00+00:00", "f" * 64)
    assert name == "run-flight_delay-2013-01-01T06-00-00-00-00-ffffffffffff"


@pytest.mark.parametrize("fingerprint", ["", "abc", "XYZ" * 20, "0123456789A" + "b" * 53])
def test_a_run_branch_needs_a_real_fingerprint(fingerprint: str) -> None:
    with pytest.raises(ConfigurationError, match="fingerprint"):
        ingest_branch("flight_delay", "2013-01-01", fingerprint)
