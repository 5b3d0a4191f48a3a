"""Will this flight arrive more than 15 minutes late? Asked at pushback.

A small network on what is known at that moment: who flies from where, the departure delay, the hour, the weather and
how the last two hours at the airport and of the carrier went. Everything between a raw feature and a logit happens
inside the module (missing values, scales, the clock as a circle), so the exported model takes plain feature values
and a device needs no preprocessing of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch  # noqa: TID253 - a model module is a leaf
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253 - a model module is a leaf

LABEL = "late"
CLASSES = ("on_time", "late")

CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
ORIGINS = ("EWR", "JFK", "LGA")
CATEGORIES = {"carrier": CARRIERS, "origin": ORIGINS}
"""Fixed vocabularies: a value's index is its place counted from 1; 0 is any value not listed."""

CLOCK = "sched_minute"
DELAYS = ("dep_delay", "origin_delay_2h", "carrier_delay_2h")
PLAIN = (
    "day_of_week",
    "distance",
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "precip",
    "visib",
    "pressure",
    "origin_departures_2h",
    "carrier_departures_2h",
)
NUMERIC = (CLOCK, *DELAYS, *PLAIN)
COLUMNS = (*CATEGORIES, *NUMERIC)

_MINUTES_PER_DAY = 1440.0
_DELAY_BOUNDS = (-30.0, 240.0)
_LIMIT = 5.0


def encode(frame: pd.DataFrame) -> dict[str, NDArray[np.generic]]:
    """Model inputs by name.

    Returns:
        ``numeric``: float32 [rows, 15], the columns of ``NUMERIC`` as they are, NaN where missing;
        ``categorical``: int64 [rows, 2], indices into the vocabularies of ``CATEGORIES``.
    """
    indices = [_indices(frame[column], vocabulary) for column, vocabulary in CATEGORIES.items()]
    return {
        "numeric": frame[list(NUMERIC)].astype("float32").to_numpy(),
        "categorical": np.stack(indices, axis=1),
    }


def _indices(values: pd.Series[str], vocabulary: tuple[str, ...]) -> NDArray[np.int64]:
    index = {value: place for place, value in enumerate(vocabulary, start=1)}
    return np.array([index.get(value, 0) for value in values], dtype=np.int64)


def labels(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Index into ``CLASSES`` per row, int64 [rows]."""
    return frame[LABEL].to_numpy().astype(np.int64)


def build(parameters: Mapping[str, int | float | str | bool]) -> nn.Module:
    """A network with ``hidden`` units in its first layer; weights come from torch's current seed."""
    return FlightDelay(hidden=int(parameters["hidden"]))


def fit_statistics(model: FlightDelay, inputs: Mapping[str, NDArray[np.generic]]) -> None:
    """Set the means and scales of the numeric features from training rows; missing values do not count."""
    with torch.no_grad():
        spread = model.spread(torch.from_numpy(inputs["numeric"])).numpy().astype(np.float64)
    known = np.isfinite(spread)
    count = known.sum(axis=0)
    mean = np.where(known, spread, 0.0).sum(axis=0) / np.maximum(count, 1)
    deviation = np.sqrt(np.where(known, (spread - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count, 1))
    # A feature that never varied says nothing: scale 0 keeps it silent should it vary later, on a device.
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6)
    model.mean.copy_(torch.from_numpy(mean))
    model.scale.copy_(torch.from_numpy(scale))


class FlightDelay(nn.Module):  # type: ignore[misc] # torch comes without types here
    """Embeddings of carrier and origin beside standardised numbers, then two hidden layers.

    A missing number stands at the training mean. Embeddings start at zero, so a carrier never trained on is the
    average carrier and not a random one.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, hidden: int, width: int = 4) -> None:
        super().__init__()
        features = 2 + 2 * len(DELAYS) + len(PLAIN)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.embeddings = nn.ModuleList(nn.Embedding(len(names) + 1, width) for names in CATEGORIES.values())
        for embedding in self.embeddings:
            nn.init.zeros_(embedding.weight)
        self.layers = nn.Sequential(
            nn.Dropout(0.1),  # of inputs: two weeks hold few kinds of weather, and no reading is always there
            nn.Linear(features + width * len(CATEGORIES), hidden),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(hidden // 2, len(CLASSES)),
        )

    def spread(self, numeric: Tensor) -> Tensor:
        """Features on scales a network can read, float32 [rows, 19], NaN where missing.

        Minutes become a point on the clock's circle. Delays come twice: clipped, and as a signed logarithm, which is
        fine near the quarter of an hour the question is about and coarse where it no longer matters.
        """
        angle = numeric[:, :1] * (2.0 * math.pi / _MINUTES_PER_DAY)
        delays = numeric[:, 1 : 1 + len(DELAYS)].clamp(*_DELAY_BOUNDS)
        logarithms = torch.sign(delays) * torch.log1p(torch.abs(delays))
        plain = numeric[:, 1 + len(DELAYS) :]
        return torch.cat([torch.sin(angle), torch.cos(angle), delays, logarithms, plain], dim=1)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Logits float32 [rows, 2] from ``numeric`` float32 [rows, 15] and ``categorical`` int64 [rows, 2]."""
        spread = self.spread(numeric)
        standard = (torch.where(torch.isnan(spread), self.mean, spread) - self.mean) * self.scale
        embedded = [layer(categorical[:, index]) for index, layer in enumerate(self.embeddings)]
        logits: Tensor = self.layers(torch.cat([standard.clamp(-_LIMIT, _LIMIT), *embedded], dim=1))
        return logits
