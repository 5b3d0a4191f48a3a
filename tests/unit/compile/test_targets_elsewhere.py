import platform

import pytest

from slipway.compile.targets import load_target
from slipway.compile.targets.interface import Skipped, Source
from slipway.compile.targets.x86_cpu import elsewhere


@pytest.mark.parametrize("name", ["x86-cpu", "x86-cpu-int8"])
def test_an_x86_target_is_skipped_on_another_cpu_with_the_reason(monkeypatch, name):
    def unread():
        raise AssertionError("nothing is built, so nothing is read")

    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    outcome = load_target(name).build(Source(onnx=b"", calibration=unread))
    assert isinstance(outcome, Skipped)
    assert "this machine is aarch64" in outcome.reason


def test_an_x86_target_is_built_on_x86():
    assert elsewhere("x86_64") is None
