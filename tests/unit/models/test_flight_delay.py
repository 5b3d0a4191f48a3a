import numpy as np
import pandas as pd
import pytest
import torch

from models import flight_delay

ROW = {
    "carrier": "UA",
    "origin": "EWR",
    "sched_minute": 600,
    "dep_delay": 12.0,
    "origin_delay_2h": 3.0,
    "carrier_delay_2h": -2.0,
    "day_of_week": 1,
    "distance": 1400.0,
    "temp": 39.0,
    "dewp": 28.0,
    "humid": 64.0,
    "wind_speed": 12.0,
    "precip": 0.0,
    "visib": 10.0,
    "pressure": 1012.0,
    "origin_departures_2h": 20,
    "carrier_departures_2h": 9,
    "late": True,
}


def frame(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([ROW | change for change in changes])


def trained_statistics(rows: pd.DataFrame) -> flight_delay.FlightDelay:
    torch.manual_seed(1)
    model = flight_delay.build({"hidden": 16})
    flight_delay.fit_statistics(model, flight_delay.encode(rows))
    return model.eval()


def logits(model: torch.nn.Module, rows: pd.DataFrame) -> np.ndarray:
    with torch.no_grad():
        return model(**{name: torch.from_numpy(values) for name, values in flight_delay.encode(rows).items()}).numpy()


VARIED = frame(
    {},
    {"dep_delay": 60.0, "temp": 20.0, "distance": 300.0, "origin_delay_2h": 30.0},
    {"dep_delay": -5.0, "temp": np.nan, "carrier": "B6", "sched_minute": 1100},
)


def test_categories_are_counted_from_one_and_unknown_ones_are_zero() -> None:
    encoded = flight_delay.encode(frame({}, {"carrier": "ZZ", "origin": "JFK"}, {"carrier": "9E", "origin": None}))
    united = flight_delay.CARRIERS.index("UA") + 1
    assert encoded["categorical"].tolist() == [[united, 1], [0, 2], [1, 0]]
    assert encoded["categorical"].dtype == np.int64


def test_numbers_are_encoded_as_they_are_with_missing_ones_as_nan() -> None:
    encoded = flight_delay.encode(frame({"temp": None}))["numeric"]
    assert encoded.dtype == np.float32
    assert encoded.shape == (1, len(flight_delay.NUMERIC))
    named = dict(zip(flight_delay.NUMERIC, encoded[0].tolist(), strict=True))
    assert named["dep_delay"] == 12.0
    assert np.isnan(named["temp"])


def test_the_outcome_is_no_input() -> None:
    assert not {"arr_delay", flight_delay.LABEL} & set(flight_delay.COLUMNS)
    assert flight_delay.labels(frame({}, {"late": False})).tolist() == [1, 0]


def test_a_missing_value_counts_as_the_training_mean() -> None:
    model = trained_statistics(VARIED)
    mean = float(VARIED.temp.mean())
    known, missing = logits(model, frame({"temp": mean}, {"temp": np.nan}))
    np.testing.assert_allclose(known, missing, atol=1e-6)


def test_every_value_may_be_missing() -> None:
    nothing = dict.fromkeys(flight_delay.NUMERIC, np.nan) | {"carrier": "?", "origin": "?"}
    assert np.isfinite(logits(trained_statistics(VARIED), frame(nothing))).all()


@pytest.mark.parametrize("training", [frame({}, {}), frame({"pressure": np.nan}, {"pressure": np.nan})])
def test_a_number_that_never_varied_in_training_has_no_say(training: pd.DataFrame) -> None:
    model = trained_statistics(training)
    one, other = logits(model, frame({"pressure": 990.0}, {"pressure": 1030.0}))
    np.testing.assert_array_equal(one, other)


def test_midnight_is_close_to_a_minute_before_midnight() -> None:
    model = flight_delay.build({"hidden": 16})
    numeric = torch.from_numpy(flight_delay.encode(frame({"sched_minute": 0}, {"sched_minute": 1439}))["numeric"])
    before, after = model.spread(numeric)[:, :2]
    assert torch.dist(before, after) < 0.01


def test_an_untrained_carrier_is_the_average_carrier() -> None:
    known, unknown = logits(trained_statistics(VARIED), frame({"carrier": "HA"}, {"carrier": "ZZ"}))
    np.testing.assert_array_equal(known, unknown)


def test_logits_have_a_column_per_class() -> None:
    assert logits(trained_statistics(VARIED), VARIED).shape == (3, len(flight_delay.CLASSES))
