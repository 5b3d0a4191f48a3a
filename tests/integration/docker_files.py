"""The files of ``docker/``, and the programs among them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


def program(path: str) -> ModuleType:
    """A program of an image, imported from its file."""
    name = f"docker_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, DOCKER / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
