from __future__ import annotations

import json
import subprocess
import sys

# Imports every module of the agent and prints what came with it.
IMPORT_ALL = """
import json, pkgutil, sys
import slipway.device
for module in pkgutil.iter_modules(slipway.device.__path__, "slipway.device."):
    __import__(module.name)
print(json.dumps(sorted(sys.modules)))
"""
# What docker/device installs, with what those packages import themselves.
PACKAGES = {"onnxruntime", "numpy", "tuf", "securesystemslib", "cryptography", "urllib3", "packaging"}
THEIRS = {"google", "flatbuffers", "cffi", "_cffi_backend", "charset_normalizer", "brotli", "zstandard", "h2", "socks"}


def imported() -> list[str]:
    command = [sys.executable, "-c", IMPORT_ALL]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": "include"})
    modules: list[str] = json.loads(done.stdout)
    return modules


def test_the_agent_imports_only_the_devices_own_few_packages() -> None:
    modules = imported()
    ours = {name for name in modules if name.startswith("slipway.") and not name.startswith("slipway.device")}
    assert ours == {"slipway.errors"}
    packages = {name.split(".")[0] for name in modules if not name.startswith("_")}
    foreign = packages - set(sys.stdlib_module_names) - PACKAGES - THEIRS - {"slipway", "numpy_distutils"}
    assert not foreign
    assert packages.isdisjoint({"airflow", "pydantic", "torch", "mlflow", "pandas", "lakefs", "pyspark"})
