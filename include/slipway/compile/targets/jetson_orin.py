"""``jetson-orin``: a TensorRT engine for NVIDIA's Jetson Orin.

An engine runs on the GPU architecture, TensorRT version and operating system it was built with, so it is built on an
Orin (JetPack with TensorRT 10.x or 11.x and cuda-bindings). Its parity with PyTorch is measured there too, with
TensorRT's own runtime. Any other machine skips the target and says why.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from slipway.compile.gpu import CudaGpu, Gpu, GpuFacts
from slipway.compile.targets.interface import Built, Skipped, Source
from slipway.compile.tensorrt_engine import EngineSession, Profile, build_engine
from slipway.errors import CompileError
from slipway.identity.digest import sha256_bytes

ORIN = "8.7"
"""Compute capability of every Jetson Orin."""
SUPPORTED = ("10", "11")
"""Major versions of TensorRT whose interface is used here."""
ELSEWHERE = "build on a Jetson Orin with NVIDIA TensorRT 10.x/11.x and cuda-bindings"
TIMING_CACHE = "timing.cache"
PROFILE = Profile()


@dataclass(frozen=True)
class Toolchain:
    """What an engine is built with: the ``tensorrt`` module and this machine's GPU."""

    trt: Any
    gpu: Gpu
    machine: str
    system: str


def build(source: Source) -> Built | Skipped:
    """Build an engine if this machine is an Orin with TensorRT.

    Raises:
        CompileError: it is, but TensorRT cannot compile the model.
    """
    toolchain = find_toolchain()
    return toolchain if isinstance(toolchain, Skipped) else build_with(toolchain, source)


def find_toolchain() -> Toolchain | Skipped:
    """TensorRT and the GPU of this machine, or what is missing."""
    try:
        trt = import_module("tensorrt")
    except ImportError as error:
        return Skipped(f"tensorrt is not installed on this machine: {error}; {ELSEWHERE}")
    try:
        gpu = CudaGpu()
    except ImportError as error:
        return Skipped(f"cuda-bindings is not installed on this machine: {error}; {ELSEWHERE}")
    except CompileError as error:
        return Skipped(f"this machine has no usable NVIDIA GPU: {error}; {ELSEWHERE}")
    return Toolchain(trt=trt, gpu=gpu, machine=platform.machine(), system=platform.platform())


def build_with(toolchain: Toolchain, source: Source) -> Built | Skipped:
    """Build an engine with a toolchain, or say why its engine would run on no Orin.

    Raises:
        CompileError: TensorRT cannot compile the model.
    """
    trt, facts = toolchain.trt, toolchain.gpu.facts()
    version = str(trt.__version__)
    if version.partition(".")[0] not in SUPPORTED:
        return Skipped(f"TensorRT {version} is installed, expected 10.x or 11.x; {ELSEWHERE}")
    if facts.compute_capability != ORIN or toolchain.machine != "aarch64":
        return Skipped(
            f"this machine is {toolchain.machine} with {facts.name} (compute capability {facts.compute_capability}), a "
            f"Jetson Orin is aarch64 with {ORIN}, and an engine runs only where it was built; {ELSEWHERE}"
        )
    engine = build_engine(trt, source.onnx, PROFILE)
    return Built(
        artifact="model.plan",
        data=engine.plan,
        runtime="tensorrt",
        runtime_version=f"=={version}",
        architecture=toolchain.machine,
        precision="fp32",
        compiler={"tensorrt": version, "cuda": facts.cuda, "driver": facts.driver},
        hardware=f"{toolchain.machine}-{facts.name}",
        load=lambda: EngineSession(trt, toolchain.gpu, engine.plan, PROFILE.most),
        engine=_engine_facts(toolchain, facts, sha256_bytes(engine.timing_cache)),
        extras={TIMING_CACHE: engine.timing_cache},
        deterministic=False,
    )


def _engine_facts(toolchain: Toolchain, facts: GpuFacts, timing_cache: str) -> dict[str, Any]:
    return {
        "gpu": facts.name,
        "compute_capability": facts.compute_capability,
        "multiprocessors": facts.multiprocessors,
        "system": toolchain.system,
        "rows": {"least": PROFILE.least, "tuned": PROFILE.tuned, "most": PROFILE.most},
        "workspace_bytes": PROFILE.workspace,
        "timing_cache_sha256": timing_cache,
    }
