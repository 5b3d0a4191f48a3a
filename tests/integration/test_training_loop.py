"""The training loop alone: repeatable, bounded, and clear about what it cannot train."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slipway.errors import ConfigurationError, ModelError
from slipway.settings import settings
from slipway.training.fit import Epoch, Schedule, fit, predict
from slipway.training.model_module import Encoded, ModelModule, encode, load_model_module
from tests.integration.training_features import flights


def encoded_flights() -> tuple[ModelModule, Encoded]:
    module = load_model_module(settings().models / "flight_delay.py")
    return module, encode(module, flights("2013-01-01"))


def schedule(**changes: object) -> dict[str, Any]:
    return {"epochs": 2, "batch_size": 64, "learning_rate": 0.003, "hidden": 8} | changes


def ignore(epoch: Epoch) -> None: ...


def test_another_seed_gives_other_weights() -> None:
    module, data = encoded_flights()
    one, same, other = (predict(fit(module, data, schedule(), seed, ignore).model, data.inputs) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_diverging_training_stops() -> None:
    module, data = encoded_flights()
    with pytest.raises(ModelError, match=r"lower training\.parameters\.learning_rate"):
        fit(module, data, schedule(learning_rate=1e30, epochs=5), 1, ignore)


def test_fewer_rows_than_a_batch_are_one_batch() -> None:
    module, data = encoded_flights()
    epochs: list[Epoch] = []
    fit(module, data, schedule(batch_size=10_000), 1, epochs.append)
    assert [epoch.number for epoch in epochs] == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs: expected a whole number from 1, got 0"),
        ({"batch_size": None}, "batch_size: expected a whole number"),
        ({"learning_rate": "fast"}, "learning_rate: expected a number, got 'fast'"),
        ({"learning_rate": -1.0}, "learning_rate > 0"),
        ({"weight_decay": -0.1}, "weight_decay >= 0"),
    ],
)
def test_a_parameter_out_of_range_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Schedule.of(schedule(**change))


def test_a_network_that_does_not_fit_its_inputs_is_refused() -> None:
    module, data = encoded_flights()
    renamed = Encoded({"numbers": data.inputs["numeric"]}, data.labels)
    with pytest.raises(ModelError, match=r"cannot run on what encode\(\) gives \(numbers\)"):
        fit(load_model_module(settings().models / "digit_reader.py"), renamed, schedule(channels=2), 1, ignore)
    with pytest.raises(ModelError, match=r"expected logits \[2, 3\]"):
        fit(_Relabelled(module), data, schedule(), 1, ignore)


class _Relabelled:
    """A model module that claims one class more than its network has."""

    CLASSES = ("on_time", "late", "cancelled")

    def __init__(self, module: ModelModule) -> None:
        self.build = module.build
