from __future__ import annotations

import json
from typing import Any

import pytest

from slipway.device.compatibility import Hardware, require_announced_fit, require_fit
from slipway.device.manifest import Manifest, parse_manifest
from slipway.errors import IncompatibleError
from tests.simulators.tiny_versions import tiny_version

DEVICE = Hardware("x86-cpu", "x86_64", "onnxruntime", "1.32.0")


def manifest(**changes: Any) -> Manifest:
    return parse_manifest(json.dumps(tiny_version(1, architecture="x86_64").manifest | changes).encode())


@pytest.mark.parametrize("version", [">=1.22", "==1.32.0", ">=1.22,<2", "~=1.30", ""])
def test_an_artifact_for_this_device_fits(version: str) -> None:
    require_fit(manifest(runtime_version=version), DEVICE, "flight_delay")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pipeline", "digit_reader"),
        ("target", "jetson-orin"),
        ("architecture", "aarch64"),
        ("runtime", "tensorrt"),
        ("runtime_version", ">=1.33"),
        ("runtime_version", "==1.31.*"),
        ("runtime_version", "newest"),
    ],
)
def test_an_artifact_for_another_device_is_refused_with_what_it_needs(field: str, value: str) -> None:
    with pytest.raises(IncompatibleError, match=value.replace("*", r"\*")):
        require_fit(manifest(**{field: value}), DEVICE, "flight_delay")


def test_a_prerelease_of_the_runtime_counts_as_its_version() -> None:
    require_fit(manifest(), Hardware("x86-cpu", "x86_64", "onnxruntime", "1.33.0.dev20260101"), "flight_delay")


@pytest.mark.parametrize("field", ["target", "architecture", "runtime"])
def test_what_the_channel_announces_is_compared_before_a_download(field: str) -> None:
    announced = {"target": "x86-cpu", "architecture": "x86_64", "runtime": "onnxruntime"}
    require_announced_fit(announced, DEVICE)
    with pytest.raises(IncompatibleError, match=field):
        require_announced_fit({**announced, field: "other"}, DEVICE)


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "short"},
        {"artifact": "../model.onnx"},
        {"artifact": ""},
        {"classes": ["one"]},
        {"classes": None},
        {"size": "many"},
        {"golden": {}},
        {"golden": None},
        {"inputs": []},
        {"inputs": {"x": {}}},
        {"target": 3},
    ],
)
def test_a_manifest_with_a_bad_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(IncompatibleError, match="compile again"):
        manifest(**changes)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff"])
def test_garbage_is_not_a_manifest(data: bytes) -> None:
    with pytest.raises(IncompatibleError, match="expected"):
        parse_manifest(data)
