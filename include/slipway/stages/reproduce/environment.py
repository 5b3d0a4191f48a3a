"""What differs between the environment something was made in and the one it is made in again."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from slipway.identity.machine import this_machine
from slipway.identity.packages import UNKNOWN
from slipway.ledger.statement import Statement
from slipway.pods.result import PodResult
from slipway.stages.code import PYTHON

_NONE = "none"


def of_pod(statement: Statement, result: PodResult) -> tuple[str, ...]:
    """The environment two results of one pod name: Python, packages, CPU, GPU, driver, hardware class."""
    then = dict(statement.details.get("environment", {}))
    now = dict(result.environment)
    packages = (then.pop("packages", {}), now.pop("packages", {}))
    machine = {**now.pop("machine", {}), "hardware": result.hardware}
    then.pop("machine", None)
    return (*_members(then, now), *_members(*packages), *_members(statement.execution.machine, machine))


def of_features(statement: Statement) -> tuple[str, ...]:
    """The packages a Spark job was pinned to and those that are installed here, and the machine."""
    packages = {name: pinned for name, pinned in statement.ingredients.packages.items() if _comparable(pinned)}
    installed = {name: _installed(name, pinned) for name, pinned in packages.items()}
    return (*_members(packages, installed), *_members(statement.execution.machine, this_machine()))


def _members(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(then.keys() | now.keys()):
        before, after = then.get(name), now.get(name)
        # What was not recorded cannot be said to differ.
        if before is not None and before != after:
            yield f"{name} {before} → {after or _NONE}"


def _comparable(pinned: str) -> bool:
    return pinned != UNKNOWN and ":" not in pinned


def _installed(name: str, pinned: str) -> str:
    """The installed version; as it is pinned where that is one of several, or leaves out a build's label."""
    if name == PYTHON:
        return ".".join(platform.python_version_tuple()[:2])
    try:
        found = version(name)
    except PackageNotFoundError:
        return _NONE
    return pinned if {found, found.partition("+")[0]} & set(pinned.split(", ")) else found
