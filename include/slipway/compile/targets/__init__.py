"""The targets: one file and one line here for each kind of device."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from slipway.compile.targets.interface import Target
from slipway.errors import ConfigurationError

# Modules by name and not imported here: one target's compiler is no other target's dependency.
TARGETS = {
    "x86-cpu": "slipway.compile.targets.x86_cpu",
    "x86-cpu-int8": "slipway.compile.targets.x86_cpu_int8",
    "jetson-orin": "slipway.compile.targets.jetson_orin",
}


def load_target(name: str) -> Target:
    """The compiler of a target.

    Raises:
        ConfigurationError: there is no such target; the message lists those there are.
    """
    if name not in TARGETS:
        raise ConfigurationError(f"no target {name!r}; there are: {', '.join(TARGETS)}")
    return cast(Target, import_module(TARGETS[name]))
