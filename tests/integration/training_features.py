"""Features to train on without Spark: flights with a known signal, and the real digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import sklearn

FLIGHT_DAYS = [f"2013-01-{day:02d}" for day in range(1, 9)]
DIGIT_DAYS = [f"2013-01-{day:02d}" for day in range(1, 25)]


def flights(day: str, rows: int = 250) -> pd.DataFrame:
    """Flights whose lateness follows the departure delay, worse at JFK, with some weather missing."""
    rng = np.random.default_rng(int(day.replace("-", "")))
    origin = rng.choice(["EWR", "JFK", "LGA"], rows)
    delay = rng.normal(5, 25, rows)
    frame = pd.DataFrame({"carrier": rng.choice(["UA", "B6", "EV", "DL"], rows), "origin": origin, "dep_delay": delay})
    frame["sched_minute"] = rng.integers(300, 1400, rows)
    frame["day_of_week"] = pd.Timestamp(day).isoweekday()
    frame["distance"] = rng.uniform(100, 2500, rows)
    for column in ("temp", "dewp", "humid", "wind_speed", "precip", "visib", "pressure", "origin_delay_2h"):
        frame[column] = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(50, 10, rows))
    frame["carrier_delay_2h"] = rng.normal(5, 5, rows)
    frame["origin_departures_2h"] = rng.integers(0, 40, rows)
    frame["carrier_departures_2h"] = rng.integers(0, 20, rows)
    frame["late"] = delay + 12 * (origin == "JFK") + rng.normal(0, 8, rows) > 15
    return frame


def digits(day: str) -> pd.DataFrame:
    """The day's 60 real digits, as the Spark job gives them."""
    columns = [f"p{index:02d}" for index in range(64)]
    file = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    start = DIGIT_DAYS.index(day) * 60
    frame = pd.read_csv(file, header=None, names=[*columns, "digit"])[start : start + 60]
    frame[columns] = frame[columns] / 16.0
    return frame.astype({"digit": "int64"})
