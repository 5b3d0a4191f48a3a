"""Running an ONNX model with ONNX Runtime on the CPU, the way a device does: one thread, rows as they come."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from slipway.errors import CompileError
from slipway.training.arrays import Arrays

LOGITS = "logits"


class OnnxSession:
    """A loaded model.

    Raises:
        CompileError: ONNX Runtime cannot load the model.
    """

    def __init__(self, model: bytes) -> None:
        options = ort.SessionOptions()
        # A device has other things to do; one thread also makes latencies comparable between machines.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise CompileError(f"ONNX Runtime {ort.__version__} cannot load the model: {error}") from error

    def run(self, inputs: Arrays) -> NDArray[np.float32]:
        """Logits float32 [rows, classes].

        Raises:
            CompileError: the inputs are not what the model takes.
        """
        try:
            (logits,) = self._session.run([LOGITS], dict(inputs))
        except Exception as error:
            raise CompileError(f"ONNX Runtime {ort.__version__} cannot run the model: {error}") from error
        return np.asarray(logits, dtype=np.float32)
