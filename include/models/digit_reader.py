"""Which digit is on this 8 x 8 scan?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253 - a model module is a leaf

LABEL = "digit"
CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
SIDE = 8
COLUMNS = tuple(f"p{index:02d}" for index in range(SIDE * SIDE))


def encode(frame: pd.DataFrame) -> dict[str, NDArray[np.generic]]:
    """Model inputs by name: ``image`` float32 [rows, 1, 8, 8], ink from 0 to 1, row by row from the top left."""
    pixels = frame[list(COLUMNS)].astype("float32").to_numpy()
    return {"image": pixels.reshape(-1, 1, SIDE, SIDE)}


def labels(frame: pd.DataFrame) -> NDArray[np.int64]:
    """The digit per row, int64 [rows]."""
    return frame[LABEL].to_numpy().astype(np.int64)


def build(parameters: Mapping[str, int | float | str | bool]) -> nn.Module:
    """A network with ``channels`` filters in its first layer; weights come from torch's current seed."""
    return DigitReader(channels=int(parameters["channels"]))


class DigitReader(nn.Module):  # type: ignore[misc] # torch comes without types here
    """Two convolutions, a pooling step and two dense layers."""

    def __init__(self, channels: int, hidden: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(2 * channels * (SIDE // 2) ** 2, hidden),
            nn.ReLU(),
            nn.Linear(hidden, len(CLASSES)),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits float32 [rows, 10] from ``image`` float32 [rows, 1, 8, 8]."""
        logits: Tensor = self.layers(image)
        return logits
