"""Features of one day of flights, each from what was known when that flight pushed back, and the label.

Pushback is scheduled departure plus departure delay, in whole minutes since the partition's midnight on the local
clock (as numbers: no session time zone takes part; a flight delayed past midnight is at 1440 or later).

* Statistics of the two hours before cover departures of the same day with pushback in [t - 120, t): flights of the
  same minute do not see each other. A flight that was diverted later did depart, so it counts.
* Weather is the latest hourly record of the origin that was finished at pushback: the record of hour *h* holds what
  was measured up to minute 51 of that hour (precipitation sums it up), so it is known from (h + 1):00 on. Where
  records are missing, the last one of the day stands; before the first, and without any, weather is null.
* The calendar is the one the flight really flew in, also when a feed replays its year in another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window  # noqa: TID253  a leaf: this is what runs on Spark
from pyspark.sql import functions as sf  # noqa: TID253

import job

INPUTS = ("flights", "weather")

WINDOW_MINUTES = 120
LATE_MINUTES = 15
"""A flight that arrives more than this after schedule is late."""
MAX_WIND_MPH = 150
"""More than any of these airports has seen; a sensor once reported 1048."""

WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "visib", "pressure")
READS = {
    "flights": (
        *("year", "month", "day", "sched_dep_time", "dep_delay", "arr_delay"),
        *("carrier", "flight", "origin", "dest", "distance"),
    ),
    "weather": ("origin", "hour", "time_hour", *WEATHER),
}


def transform(tables: Mapping[str, DataFrame], partition: str) -> DataFrame:
    """Features and label of every flight of the day that departed and arrived, sorted by ``flight_key``.

    Raises:
        ContractError: a raw table lacks a column.
    """
    job.require(tables, READS)
    departures = _with_recent_departures(_departures(tables["flights"]))
    completed = departures.where(_number("arr_delay").isNotNull())
    features = _with_weather(completed, tables["weather"]).select(*_columns(partition))
    return features.coalesce(1).sortWithinPartitions("flight_key")


def _departures(flights: DataFrame) -> DataFrame:
    """Flights that left the gate, with ``pushback``; a cancelled flight has no departure delay."""
    scheduled = sf.floor(sf.col("sched_dep_time") / 100) * 60 + sf.col("sched_dep_time") % 100
    return (
        flights.select(*READS["flights"])
        .withColumn("dep_delay", _number("dep_delay"))
        .where(sf.col("dep_delay").isNotNull())
        .withColumn("scheduled", scheduled.cast("bigint"))
        .withColumn("pushback", sf.floor(sf.col("scheduled") + sf.col("dep_delay")).cast("bigint"))
    )


def _with_recent_departures(departures: DataFrame) -> DataFrame:
    """Mean departure delay and number of departures of the origin, and of the carrier, in the window before."""
    for group in ("origin", "carrier"):
        recent = Window.partitionBy(group).orderBy("pushback").rangeBetween(-WINDOW_MINUTES, -1)
        departures = departures.withColumn(f"{group}_delay_2h", sf.avg("dep_delay").over(recent)).withColumn(
            f"{group}_departures_2h", sf.count("dep_delay").over(recent)
        )
    return departures


def _with_weather(departures: DataFrame, weather: DataFrame) -> DataFrame:
    """The origin's latest finished record; each record is valid until the next one of that origin is known."""
    # When clocks go back an hour occurs twice: both are known at its end, and the first is valid for no time at all.
    in_order = Window.partitionBy("weather_origin").orderBy("known_from", "time_hour")
    records = (
        weather.select(
            sf.col("origin").alias("weather_origin"),
            "time_hour",
            ((sf.col("hour") + 1) * 60).alias("known_from"),
            *[_number(name).alias(name) for name in WEATHER],
        )
        .withColumn("wind_speed", sf.when(sf.col("wind_speed") <= MAX_WIND_MPH, sf.col("wind_speed")))
        .withColumn("known_until", sf.lead("known_from").over(in_order))
    )
    valid = (
        (sf.col("weather_origin") == sf.col("origin"))
        & (sf.col("pushback") >= sf.col("known_from"))
        & (sf.col("known_until").isNull() | (sf.col("pushback") < sf.col("known_until")))
    )
    return departures.join(records, valid, "left")


def _columns(partition: str) -> Sequence[Column]:
    """The features in their order; a flight's key carries the partition it was delivered in."""
    day = sf.make_date("year", "month", "day")
    return [
        sf.concat_ws("-", sf.lit(partition), "carrier", "flight", "origin", "sched_dep_time").alias("flight_key"),
        *[sf.col(name) for name in ("carrier", "origin", "dest")],
        sf.col("month").cast("bigint").alias("month"),
        (sf.weekday(day) + 1).cast("bigint").alias("day_of_week"),
        (sf.col("scheduled") % 1440).alias("sched_minute"),
        sf.col("dep_delay"),
        _number("distance").alias("distance"),
        *[sf.col(name) for name in WEATHER],
        *[sf.col(f"origin_{name}") for name in ("delay_2h", "departures_2h")],
        *[sf.col(f"carrier_{name}") for name in ("delay_2h", "departures_2h")],
        _number("arr_delay").alias("arr_delay"),
        (_number("arr_delay") > LATE_MINUTES).alias("late"),
    ]


def _number(name: str) -> Column:
    """The column as double, null where it is NaN."""
    value = sf.col(name).cast("double")
    return sf.when(~sf.isnan(value), value)


if __name__ == "__main__":
    job.main(transform, INPUTS)
