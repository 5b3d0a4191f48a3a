"""The training loop, on Lightning Fabric: one device, whatever there is, the same result every time."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch  # noqa: TID253 - the loop is a leaf; only the training pod imports it
from lightning_fabric import Fabric
from lightning_fabric.utilities.seed import seed_everything
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler  # noqa: TID253

from slipway.errors import ConfigurationError, ModelError
from slipway.training.arrays import Arrays
from slipway.training.model_module import Encoded, ModelModule, build

_PREDICT_ROWS = 4096
_THREADS = 1  # sums taken in another order differ in their last bits, and with them the model's bytes
_CLIP_NORM = 1.0
_DEFAULT_WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Schedule:
    """How to train, from a pipeline's ``training.parameters``; the model takes those it knows from the same mapping."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Schedule:
        """Pick the loop's parameters; raises ``ConfigurationError`` when one is missing or out of range."""
        rate = _number(parameters, "learning_rate")
        decay = _number(parameters, "weight_decay", _DEFAULT_WEIGHT_DECAY)
        if rate <= 0 or decay < 0:
            raise ConfigurationError(
                f"training.parameters: expected learning_rate > 0 and weight_decay >= 0, got {rate} and {decay}"
            )
        return cls(_count(parameters, "epochs"), _count(parameters, "batch_size"), rate, decay)


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows brought; ``loss`` and ``accuracy`` are means over its batches' rows."""

    number: int
    loss: float
    accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """A trained network on the CPU in evaluation mode, and the hardware it was trained on."""

    model: nn.Module
    hardware: str


def fit(
    module: ModelModule, data: Encoded, parameters: Mapping[str, Any], seed: int, report: Callable[[Epoch], None]
) -> Fitted:
    """Train the module's network on encoded rows for a fixed number of epochs; nothing is chosen by the held-out rows.

    AdamW under a one-cycle learning rate, cross entropy, gradients clipped to norm 1. Equal arguments give equal
    weights, bit for bit, on one kind of hardware and one set of package versions.

    Raises:
        ConfigurationError: the loop's parameters are missing or out of range.
        ModelError: the network cannot be built, gives something else than logits, or diverges.
    """
    schedule = Schedule.of(parameters)
    make_repeatable(seed)
    fabric = Fabric(accelerator="auto", devices=1, precision="32-true")
    model = build(module, parameters)
    if hasattr(module, "fit_statistics"):
        module.fit_statistics(model, data.inputs)
    _check_logits(model, data, len(module.CLASSES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    batches = _batches(data, schedule.batch_size, seed)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=schedule.learning_rate, total_steps=schedule.epochs * len(batches)
    )
    wrapped, fabric_optimizer = fabric.setup(model, optimizer)
    loader = fabric.setup_dataloaders(batches, use_distributed_sampler=False)
    wrapped.train()
    for number in range(1, schedule.epochs + 1):
        epoch = _epoch(number, fabric, wrapped, loader, optimizer=fabric_optimizer, rates=rates)
        if not math.isfinite(epoch.loss):
            raise ModelError(f"the loss is {epoch.loss} in epoch {number}: lower training.parameters.learning_rate")
        report(epoch)
    return Fitted(model.cpu().eval(), _hardware(fabric))


def predict(model: nn.Module, inputs: Arrays) -> NDArray[np.float32]:
    """Logits float32 [rows, classes] of a network on the CPU, in evaluation mode."""
    rows = len(next(iter(inputs.values())))
    model.eval()
    with torch.inference_mode():
        parts = [model(**_tensors(inputs, start, start + _PREDICT_ROWS)) for start in range(0, rows, _PREDICT_ROWS)]
    logits: NDArray[np.float32] = torch.cat(parts).numpy().astype(np.float32)
    return logits


def make_repeatable(seed: int) -> None:
    """Seed torch, NumPy and Python, and let torch use nothing that differs from run to run.

    On CUDA that also takes ``CUBLAS_WORKSPACE_CONFIG``, which the pod manifest sets; torch refuses to run without it.
    """
    seed_everything(seed, verbose=False)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(_THREADS)


class _Rows(Dataset[Any]):  # type: ignore[misc] # torch comes without types here
    """Encoded rows, taken a batch of row numbers at a time: no row is copied alone."""

    def __init__(self, data: Encoded) -> None:
        self._inputs = {name: torch.from_numpy(values) for name, values in data.inputs.items()}
        self._labels = torch.from_numpy(data.labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, rows: list[int]) -> tuple[dict[str, Tensor], Tensor]:
        return {name: values[rows] for name, values in self._inputs.items()}, self._labels[rows]


def _batches(data: Encoded, size: int, seed: int) -> DataLoader[Any]:
    dataset = _Rows(data)
    order = RandomSampler(dataset, generator=torch.Generator().manual_seed(seed))
    # A short last batch may be a single row, which batch normalisation cannot take; the next epoch draws it again.
    sampler = BatchSampler(order, size, drop_last=len(dataset) >= size)
    return DataLoader(dataset, batch_size=None, sampler=sampler)


def _epoch(number: int, fabric: Fabric, model: nn.Module, loader: Any, *, optimizer: Any, rates: Any) -> Epoch:
    started = time.monotonic()
    loss_sum, right, seen = 0.0, 0, 0
    for inputs, labels in loader:
        optimizer.zero_grad()
        logits = model(**inputs)
        loss = nn.functional.cross_entropy(logits, labels)
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=_CLIP_NORM, error_if_nonfinite=False)
        optimizer.step()
        rates.step()
        loss_sum += loss.item() * len(labels)
        right += int((logits.argmax(dim=1) == labels).sum())
        seen += len(labels)
    return Epoch(number, loss_sum / seen, right / seen, rates.get_last_lr()[0], time.monotonic() - started)


def _check_logits(model: nn.Module, data: Encoded, classes: int) -> None:
    rows = min(2, data.rows)
    expected = (rows, classes)
    try:
        logits = predict(model, {name: values[:rows] for name, values in data.inputs.items()})
    except (TypeError, RuntimeError, IndexError, AttributeError) as error:
        raise ModelError(f"the model cannot run on what encode() gives ({', '.join(data.inputs)}): {error}") from error
    if logits.shape != expected:
        raise ModelError(f"expected logits {list(expected)} [rows, classes], the model gives {list(logits.shape)}")
    if not np.isfinite(logits).all():
        raise ModelError("the untrained model gives logits that are not finite: handle missing values inside the model")


def _tensors(inputs: Arrays, start: int, stop: int) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(values[start:stop])) for name, values in inputs.items()}


def _hardware(fabric: Fabric) -> str:
    if fabric.device.type == "cuda":
        return str(torch.cuda.get_device_name(fabric.device))
    return f"{platform.machine()}-{fabric.device.type}"


def _count(parameters: Mapping[str, Any], name: str) -> int:
    value = parameters.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"training.parameters.{name}: expected a whole number from 1, got {value!r}")
    return value


def _number(parameters: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = parameters.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ConfigurationError(f"training.parameters.{name}: expected a number, got {value!r}")
    return float(value)
