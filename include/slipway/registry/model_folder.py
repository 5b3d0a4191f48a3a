"""A version's folder as MLflow's ONNX flavour lays it out; the same registration gives the same bytes."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from slipway.compile.onnx_model import Tensor, parse, signature
from slipway.errors import RegistryError
from slipway.registry.registration import INDEX, Registration, index_of


def model_folder(registration: Registration, created: dt.datetime) -> dict[str, bytes]:
    """Every file of the version by path: the ONNX flavour, the registration's artifacts, the index.

    ``created`` is written into ``MLmodel``; taking it from the run makes a retry's folder equal to the first one's.

    Raises:
        RegistryError: an artifact has the name of one of the flavour's own files.
    """
    files = _flavour(registration, created)
    taken = sorted(set(files) & set(registration.artifacts) | ({INDEX} & set(registration.artifacts)))
    if taken:
        raise RegistryError(f"artifacts {taken} have the names of files the registry itself writes; rename them")
    files.update(registration.artifacts)
    return {**files, INDEX: index_of(files)}


def _flavour(registration: Registration, created: dt.datetime) -> dict[str, bytes]:
    import mlflow.onnx
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "model")
        model = parse(registration.onnx)
        mlflow.onnx.save_model(
            model,
            str(folder),
            mlflow_model=Model(utc_time_created=created, model_uuid=registration.fingerprint[:32]),
            signature=_signature(model),
            input_example=None if registration.input_example is None else dict(registration.input_example),
            pip_requirements=[f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"],
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=False,
        )
        # MLflow writes the model again in its own way; keep the canonical bytes, whose digest is the model's identity.
        (folder / "model.onnx").write_bytes(registration.onnx)
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _signature(model: onnx.ModelProto) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def specification(name: str, tensor: Tensor) -> TensorSpec:
        shape = tuple(-1 if isinstance(axis, str) else axis for axis in tensor.shape)
        return TensorSpec(np.dtype(tensor.dtype), shape, name)

    tensors = signature(model)
    return ModelSignature(
        inputs=Schema([specification(name, tensor) for name, tensor in tensors.inputs.items()]),
        outputs=Schema([specification(name, tensor) for name, tensor in tensors.outputs.items()]),
    )
