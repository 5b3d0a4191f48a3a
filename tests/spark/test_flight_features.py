"""The features of flights: hand-computed, compared with a plain reference on a real day, and never of the future."""

from __future__ import annotations

import datetime as dt
import math
import random
from typing import Any

import pyarrow as pa
import pytest

import flight_features
from slipway.errors import ContractError
from slipway.feed.fetch import fetch
from slipway.pipeline.load import load_pipeline
from slipway.quality.check import check
from slipway.settings import settings

DAY = "2013-01-01"
REAL_DAY = "2013-01-11"
OUTCOMES = {"arr_delay", "late"}
Row = dict[str, Any]

FLIGHTS = pa.schema(
    [(name, pa.int64()) for name in ("year", "month", "day", "sched_dep_time")]
    + [(name, pa.float64()) for name in ("dep_delay", "arr_delay")]
    + [("carrier", pa.string()), ("flight", pa.int64()), ("origin", pa.string()), ("dest", pa.string())]
    + [("distance", pa.int64()), ("tailnum", pa.string())]
)
WEATHER = pa.schema(
    [("origin", pa.string()), ("hour", pa.int64()), ("time_hour", pa.string())]
    + [(name, pa.float64()) for name in flight_features.WEATHER]
)


def flight(number: int, sched: int, delay: float | None, **changes: object) -> Row:
    row: Row = {"year": 2013, "month": 1, "day": 1, "sched_dep_time": sched, "dep_delay": delay, "arr_delay": delay}
    row |= {"carrier": "AA", "flight": number, "origin": "JFK", "dest": "LAX", "distance": 2475, "tailnum": None}
    return row | changes


def weather(hour: int, temp: float, **changes: object) -> Row:
    row: Row = dict.fromkeys(flight_features.WEATHER, 0.0)
    row |= {"origin": "JFK", "hour": hour, "time_hour": f"{DAY}T{hour:02d}", "temp": temp}
    return row | changes


def features(
    spark: Any, flights: list[Row] | pa.Table, observed: list[Row] | pa.Table = (), day: str = DAY
) -> dict[int, Row]:
    """Rows by flight number, which these tests keep unique."""
    return {int(row["flight_key"].split("-")[4]): row for row in table(spark, flights, observed, day).to_pylist()}


def table(spark: Any, flights: list[Row] | pa.Table, observed: list[Row] | pa.Table = (), day: str = DAY) -> pa.Table:
    raw = {
        "flights": flights if isinstance(flights, pa.Table) else pa.Table.from_pylist(flights, FLIGHTS),
        "weather": observed if isinstance(observed, pa.Table) else pa.Table.from_pylist(list(observed), WEATHER),
    }
    frames = {name: spark.createDataFrame(rows) for name, rows in raw.items()}
    return flight_features.transform(frames, day).toArrow()


@pytest.fixture(scope="module")
def real_day() -> dict[str, pa.Table]:
    return fetch(load_pipeline(settings().pipelines / "flight_delay.yaml").feed, dt.date.fromisoformat(REAL_DAY))


@pytest.fixture(scope="module")
def real_features(spark: Any, real_day: dict[str, pa.Table]) -> pa.Table:
    return table(spark, real_day["flights"], real_day["weather"], REAL_DAY)


def test_a_small_day_gives_the_features_computed_by_hand(spark: Any) -> None:
    rows = features(
        spark,
        [
            flight(1, 800, 10),  # pushes back 08:10
            flight(2, 900, 20, carrier="UA"),  # 09:20
            flight(3, 905, 15),  # 09:20, the same minute as flight 2
            flight(4, 930, 40, origin="LGA"),  # 10:10
            flight(5, 1010, 0, arr_delay=16.0),  # 10:10: the window opens at 08:10
            flight(6, 1011, 0, arr_delay=15.0),  # 10:11: flight 1 has just left it
        ],
    )

    assert {number: (row["origin_delay_2h"], row["origin_departures_2h"]) for number, row in rows.items()} == {
        1: (None, 0),
        2: (10.0, 1),
        3: (10.0, 1),
        4: (None, 0),
        5: (15.0, 3),
        6: (35 / 3, 3),
    }
    assert {number: (row["carrier_delay_2h"], row["carrier_departures_2h"]) for number, row in rows.items()} == {
        1: (None, 0),
        2: (None, 0),
        3: (10.0, 1),
        4: (12.5, 2),
        5: (12.5, 2),
        6: (55 / 3, 3),
    }
    assert (rows[5]["late"], rows[6]["late"]) == (True, False)
    assert rows[5] | {"origin_delay_2h": None, "carrier_delay_2h": None} == {
        "flight_key": "2013-01-01-AA-5-JFK-1010",
        "carrier": "AA",
        "origin": "JFK",
        "dest": "LAX",
        "month": 1,
        "day_of_week": 2,
        "sched_minute": 610,
        "dep_delay": 0.0,
        "distance": 2475.0,
        **dict.fromkeys(flight_features.WEATHER),
        "origin_delay_2h": None,
        "origin_departures_2h": 3,
        "carrier_delay_2h": None,
        "carrier_departures_2h": 2,
        "arr_delay": 16.0,
        "late": True,
    }


def test_cancelled_and_diverted_flights_are_left_out_but_a_diverted_one_did_depart(spark: Any) -> None:
    rows = features(
        spark,
        [
            flight(1, 800, None),  # cancelled
            flight(2, 805, 30, arr_delay=None),  # diverted, later
            flight(3, 900, 0),
            flight(4, 905, math.nan, arr_delay=math.nan),  # cancelled, said otherwise
            flight(5, 910, 2),
        ],
    )

    assert set(rows) == {3, 5}
    assert (rows[3]["origin_delay_2h"], rows[3]["origin_departures_2h"]) == (30.0, 1)
    assert (rows[5]["origin_delay_2h"], rows[5]["origin_departures_2h"]) == (15.0, 2)


def test_weather_is_the_last_record_that_was_finished_at_pushback(spark: Any) -> None:
    records = [weather(hour, 30.0 + hour) for hour in (5, 6, 9, 23)] + [weather(7, 99.0, origin="EWR")]
    rows = features(
        spark,
        [
            flight(1, 559, 0),  # the record of 5 o'clock is not finished
            flight(2, 600, 0),
            flight(3, 700, -1),
            flight(4, 700, 0),
            flight(5, 959, 0),  # 7 and 8 o'clock are missing: the record of 6 stands
            flight(6, 959, 1),
            flight(7, 2355, 0),
            flight(8, 2355, 60),  # past midnight: the day's last record
            flight(9, 800, 0, origin="LGA"),  # no records at all
        ],
        records,
    )

    assert {number: row["temp"] for number, row in rows.items()} == {
        1: None,
        2: 35.0,
        3: 35.0,
        4: 36.0,
        5: 36.0,
        6: 39.0,
        7: 39.0,
        8: 53.0,
        9: None,
    }


def test_the_hour_that_occurs_twice_in_autumn_gives_each_flight_one_record(spark: Any) -> None:
    twice = [weather(1, 50.0, time_hour="2013-11-03T05:00:00Z"), weather(1, 49.0, time_hour="2013-11-03T06:00:00Z")]

    result = table(spark, [flight(1, 200, 0), flight(2, 159, 0)], [*reversed(twice), weather(0, 51.0)])

    assert result.column("temp").to_pylist() == [49.0, 51.0]


def test_impossible_wind_is_null(spark: Any) -> None:
    records = [weather(5, 0.0, wind_speed=1048.4), weather(6, 0.0, wind_speed=150.0), weather(7, 0.0, wind_speed=None)]

    rows = features(spark, [flight(1, 600, 0), flight(2, 700, 0), flight(3, 800, 0)], records)

    assert [rows[number]["wind_speed"] for number in (1, 2, 3)] == [None, 150.0, None]


def test_midnight_is_minute_0_and_its_pushback_ends_the_day(spark: Any) -> None:
    rows = features(spark, [flight(1, 2400, 0), flight(2, 2359, 0), flight(3, 5, -10)])

    assert [rows[number]["sched_minute"] for number in (1, 2, 3)] == [0, 1439, 5]
    assert rows[1]["origin_departures_2h"] == 1
    assert rows[3]["origin_departures_2h"] == 0


def test_a_replayed_day_has_the_partitions_key_and_the_calendar_it_flew_in(spark: Any) -> None:
    (row,) = features(spark, [flight(1, 800, 0)], day="2026-01-01").values()

    assert row["flight_key"] == "2026-01-01-AA-1-JFK-800"
    assert row["day_of_week"] == 2  # 2013-01-01 was a Tuesday, 2026-01-01 is a Thursday


def test_a_real_day_equals_the_plain_reference_and_satisfies_its_contract(
    real_day: dict[str, pa.Table], real_features: pa.Table
) -> None:
    result = real_features
    contract = load_pipeline(settings().pipelines / "flight_delay.yaml").features.contract
    assert check("features", result, contract).failures == ()
    assert result.column_names == list(contract.columns)
    expected = reference(real_day["flights"].to_pylist(), real_day["weather"].to_pylist())
    keys = result.column("flight_key").to_pylist()
    assert keys == sorted(expected)
    for row in result.to_pylist():
        assert {name: row[name] for name in expected[row["flight_key"]]} == expected[row["flight_key"]]


def test_the_same_day_gives_the_same_rows_in_any_order_and_any_session_time_zone(
    spark: Any, real_day: dict[str, pa.Table], real_features: pa.Table
) -> None:
    flights, observed = real_day["flights"].to_pylist(), real_day["weather"]
    random.Random(1).shuffle(flights)
    zone = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        again = table(spark, pa.Table.from_pylist(flights, real_day["flights"].schema), observed, REAL_DAY)
    finally:
        spark.conf.set("spark.sql.session.timeZone", zone)

    assert again.equals(real_features)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_happens_later_never_changes_earlier_features(
    spark: Any, real_day: dict[str, pa.Table], real_features: pa.Table, seed: int
) -> None:
    dice = random.Random(seed)
    flights, observed = real_day["flights"].to_pylist(), real_day["weather"].to_pylist()
    now = dice.randrange(6 * 60, 22 * 60)
    before = real_features.to_pylist()
    known = {key(row) for row in flights if row["dep_delay"] is not None and pushback(row) <= now}

    later_flights = [altered(row, now, dice) for row in flights] + [
        flight(20_000 + number, 2359, dice.randrange(0, 300), origin="EWR", carrier="UA") for number in range(20)
    ]
    later_weather = [
        row | {"temp": dice.uniform(0, 90), "visib": None} if (row["hour"] + 1) * 60 > now else row for row in observed
    ]
    after = table(
        spark,
        pa.Table.from_pylist(later_flights, real_day["flights"].schema),
        pa.Table.from_pylist(later_weather, real_day["weather"].schema),
        REAL_DAY,
    ).to_pylist()

    def features_known(rows: list[Row]) -> dict[str, Row]:
        inputs = [{name: value for name, value in row.items() if name not in OUTCOMES} for row in rows]
        return {row["flight_key"]: row for row in inputs if row["flight_key"] in known}

    earlier = features_known(before)
    assert len(earlier) > 20
    assert features_known(after) == earlier
    assert after != before


@pytest.mark.parametrize(("table_name", "column"), [("flights", "dep_delay"), ("weather", "visib")])
def test_a_renamed_raw_column_is_named_before_spark_runs(
    spark: Any, real_day: dict[str, pa.Table], table_name: str, column: str
) -> None:
    renamed = {
        name: rows.rename_columns([f"{other}_x" if (name, other) == (table_name, column) else other for other in names])
        for name, rows, names in ((name, rows, rows.column_names) for name, rows in real_day.items())
    }

    with pytest.raises(ContractError, match=rf"{table_name}.*missing: '{column}' \(renamed to '{column}_x'\?\)"):
        table(spark, renamed["flights"], renamed["weather"])


def minute(row: Row) -> int:
    return int(row["sched_dep_time"] // 100 * 60 + row["sched_dep_time"] % 100)


def pushback(row: Row) -> float:
    return minute(row) + float(row["dep_delay"])


def key(row: Row) -> str:
    return f"{REAL_DAY}-{row['carrier']}-{row['flight']}-{row['origin']}-{row['sched_dep_time']}"


def altered(row: Row, now: int, dice: random.Random) -> Row:
    """The flight with another outcome and, if it is still at the gate, another departure, cancelled perhaps."""
    if row["dep_delay"] is None:
        return row
    changed = row | {"arr_time": 1.0, "air_time": 1.0}
    if row["arr_delay"] is not None:  # a diverted flight stays one: whether a row exists is an outcome, too
        changed["arr_delay"] = float(dice.randrange(-60, 300))
    if pushback(row) > now:
        changed["dep_delay"] = dice.choice([None, row["dep_delay"] + dice.randrange(0, 200)])
    return changed


def reference(flights: list[Row], observed: list[Row]) -> dict[str, Row]:
    """The window and weather features and the label, written a second time without Spark: slow and plain."""
    left = [row for row in flights if row["dep_delay"] is not None]
    expected = {}
    for row in (row for row in left if row["arr_delay"] is not None):
        now = pushback(row)
        result: Row = {"sched_minute": minute(row) % 1440, "late": row["arr_delay"] > 15, "day_of_week": 5}
        for group in ("origin", "carrier"):
            delays = [
                other["dep_delay"]
                for other in left
                if other[group] == row[group] and now - 120 <= pushback(other) < now
            ]
            result[f"{group}_departures_2h"] = len(delays)
            result[f"{group}_delay_2h"] = sum(delays) / len(delays) if delays else None
        finished = [seen for seen in observed if seen["origin"] == row["origin"] and (seen["hour"] + 1) * 60 <= now]
        latest = max(finished, key=lambda seen: seen["hour"], default=dict.fromkeys(flight_features.WEATHER))
        result |= {name: latest[name] for name in flight_features.WEATHER}
        expected[key(row)] = result
    return expected
