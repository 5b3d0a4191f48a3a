"""Where the code of a training run's works begins: what the planner fingerprints, and what a pod says that it ran."""

from __future__ import annotations

from pathlib import Path

from slipway.identity.code import code_digests, combined
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings

TRAIN, EXPORT, COMPILE = "train", "export", "compile"


def entries(pipeline: Pipeline, work: str) -> list[str]:
    """The files a work begins in, below the project; a target is looked up by name, so that no import leads to it."""
    model = f"include/models/{pipeline.training.model}.py"
    if work == TRAIN:
        return ["include/slipway/training/__main__.py", model]
    if work == EXPORT:
        return ["include/slipway/compile/export.py", model]
    return ["include/slipway/compile/__main__.py", f"include/slipway/compile/targets/{work.replace('-', '_')}.py"]


def code_roots(root: Path) -> list[Path]:
    """The folders first-party modules are imported from."""
    return [root / "include", root / "spark_jobs"]


def own_code(pipeline: Pipeline, work: str) -> str:
    """The digest over the code of a work as this process's checkout or image has it (``identity.code.combined``).

    Raises:
        ConfigurationError: it lacks a file the work begins in.
    """
    root = settings().root
    return combined(code_digests([root / entry for entry in entries(pipeline, work)], code_roots(root)))
