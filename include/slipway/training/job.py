"""The training pod's whole work: read, fit, evaluate, upload, report."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
from mlflow.tracking import MlflowClient  # noqa: TID253 - only the training pod imports this module
from numpy.typing import NDArray
from safetensors.torch import save

from slipway.errors import DataError
from slipway.identity.canonical import canonical_json
from slipway.identity.machine import this_machine
from slipway.lake.uri import LakeUri
from slipway.pipeline.spec import Pipeline
from slipway.pods.result import ObjectStore, Output, PodResult, Reading, upload, write_result
from slipway.training.arrays import calibration_rows, golden_rows, pack, take
from slipway.training.champion import measure_champion
from slipway.training.data import FeatureStore, check_partitions, read_partitions
from slipway.training.evaluation import Rows, evaluate
from slipway.training.fit import Epoch, Fitted, fit, predict
from slipway.training.model_module import Encoded, ModelModule, encode
from slipway.training.tracking import TrackedRun, tracked_run

PACKAGES = ("torch", "lightning-fabric", "safetensors", "numpy", "pandas", "pyarrow", "onnxruntime", "mlflow")


class Lake(FeatureStore, ObjectStore, Protocol):
    """The part of a lake training needs: list, get, put."""


@dataclass(frozen=True)
class Request:
    """What to train: days at one commit, and where the outputs go."""

    commit: str
    partitions: tuple[str, ...]
    holdout: tuple[str, ...]
    fingerprint: str
    output: LakeUri
    champion: str | None = None
    """The registered version to compare with."""
    run: str = ""
    """The run it is made for."""
    code: str = ""
    """Digest over this pod's code."""


def train(request: Request, pipeline: Pipeline, module: ModelModule, lake: Lake, client: MlflowClient) -> PodResult:
    """Train, evaluate and upload; the result file comes last. A model that fails its verdict is uploaded all the same.

    Raises:
        DataError: the partitions, or what is in them, cannot be trained on.
        ModelError: the model module or the champion cannot be used.
        UnavailableError: the lake or MLflow does not answer.
    """
    check_partitions(request.partitions, request.holdout)
    spec = pipeline.training
    with tracked_run(client, pipeline.name, request.fingerprint, _parameters(pipeline), _tags(request)) as run:
        reading = _ReadingFeatures(lake)
        training = _read(reading, pipeline, module, request.commit, request.partitions)
        holdout = _read(reading, pipeline, module, request.commit, request.holdout)
        _check_labels(training.encoded)
        _say(f"{len(training.frame)} training rows, {len(holdout.frame)} held-out rows at {request.commit[:12]}")
        fitted = fit(
            module, training.encoded, spec.parameters, spec.seed, lambda epoch: _report(run, epoch, spec.parameters)
        )
        logits = predict(fitted.model, holdout.encoded.inputs)
        champion = measure_champion(
            pipeline.name, request.champion, holdout.encoded.inputs, holdout.encoded.labels, len(module.CLASSES)
        )
        evaluation = evaluate(spec, module.CLASSES, training, holdout, logits=logits, champion=champion)
        run.log(evaluation["metrics"])
        run.log({f"baseline_{name}": evaluation["baseline"][name] for name in ("auc", "accuracy")})
        run.tag({"slipway.verdict": evaluation["verdict"]["outcome"], "slipway.hardware": fitted.hardware})
        files = _files(fitted, training.encoded, holdout.encoded, logits, spec.seed) | _reports(evaluation)
        outputs = upload(lake, request.output, files)
        result = _result(request, fitted.hardware, evaluation, outputs).model_copy(update={"inputs": reading.read})
        write_result(lake, request.output, result)
    _say(_summary(spec.metric, evaluation))
    return result


class _ReadingFeatures(Reading):
    """Notes what is read; listing needs no note."""

    def __init__(self, lake: Lake) -> None:
        super().__init__(lake)
        self.list = lake.list


def _read(lake: FeatureStore, pipeline: Pipeline, module: ModelModule, commit: str, days: tuple[str, ...]) -> Rows:
    spec = pipeline.training
    extra = [name for name in (spec.baseline.column, *spec.slices) if name is not None]
    columns = list(dict.fromkeys([*module.COLUMNS, module.LABEL, *extra]))
    frame = read_partitions(lake, pipeline.repository, commit, days, columns)
    return Rows(frame, encode(module, frame))


def _check_labels(encoded: Encoded) -> None:
    if len(np.unique(encoded.labels)) < 2:
        raise DataError(
            f"expected training rows of at least two classes, all {encoded.rows} have the same label: "
            "train on more partitions"
        )


def _files(
    fitted: Fitted, training: Encoded, holdout: Encoded, logits: NDArray[np.float32], seed: int
) -> dict[str, bytes]:
    golden = golden_rows(logits)
    calibration = take(training.inputs, calibration_rows(training.rows, seed))
    weights = {name: values.contiguous() for name, values in fitted.model.state_dict().items()}
    return {
        "model.safetensors": save(weights),
        "holdout.npz": pack(holdout.inputs, labels=holdout.labels, logits=logits),
        "calibration.npz": pack(calibration),
        "golden.npz": pack(take(holdout.inputs, golden), logits=logits[golden]),
    }


def _reports(evaluation: Mapping[str, Any]) -> dict[str, bytes]:
    return {
        "slices.json": canonical_json(evaluation["slices"]),
        "evaluation.json": canonical_json(evaluation),
    }


def _result(request: Request, hardware: str, evaluation: Mapping[str, Any], outputs: dict[str, Output]) -> PodResult:
    kept = ("metric", "metrics", "baseline", "champion", "prediction_shares", "verdict")
    return PodResult(
        stage="train",
        fingerprint=request.fingerprint,
        status="built",
        run=request.run,
        code=request.code,
        outputs=outputs,
        report={name: evaluation[name] for name in kept},
        environment={
            "python": platform.python_version(),
            "packages": {name: version(name) for name in PACKAGES},
            "machine": this_machine(),
        },
        hardware=hardware,
    )


def _parameters(pipeline: Pipeline) -> dict[str, Any]:
    return {**pipeline.training.parameters, "seed": pipeline.training.seed, "model": pipeline.training.model}


def _tags(request: Request) -> dict[str, str]:
    return {
        "slipway.commit": request.commit,
        "slipway.partitions": _span(request.partitions),
        "slipway.holdout": _span(request.holdout),
        "slipway.output": str(request.output),
    }


def _span(days: tuple[str, ...]) -> str:
    return f"{min(days)}..{max(days)} ({len(days)})"


def _report(run: TrackedRun, epoch: Epoch, parameters: Mapping[str, Any]) -> None:
    _say(
        f"epoch {epoch.number}/{parameters['epochs']}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}, "
        f"{epoch.seconds:.2f} s"
    )
    values = {name: value for name, value in asdict(epoch).items() if name != "number"}
    run.log({f"train_{name}": value for name, value in values.items()}, step=epoch.number)


def _summary(metric: str, evaluation: Mapping[str, Any]) -> str:
    verdict = evaluation["verdict"]
    return f"{metric} {evaluation['metrics'][metric]}: {verdict['outcome']}: {'; '.join(verdict['reasons'])}"


def _say(line: str) -> None:
    print(line, flush=True)  # a pod's log is its standard output
