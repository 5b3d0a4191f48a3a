import platform

import pytest

from slipway.identity.machine import gpu_hardware_class, this_machine

VERSION = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 06:54:38 UTC 2025
GCC version:  gcc version 12.3.0
"""
OPEN_VERSION = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build\n"


def machine(folder, *, version=None, cards=()):
    (folder / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.0 GHz\nmodel name\t: Some CPU\n")
    for number, card in enumerate(cards):
        place = folder / f"driver/nvidia/gpus/0000:0{number}:00.0"
        place.mkdir(parents=True)
        (place / "information").write_text(f"Model: \t\t {card}\nIRQ:   \t\t 0\n")
    if version:
        (folder / "driver/nvidia/version").write_text(version)
    return this_machine(folder)


def test_a_machine_without_a_gpu_is_its_cpu(tmp_path):
    assert machine(tmp_path) == {"hardware": f"{platform.machine()}-cpu", "cpu": "Some CPU @ 2.0 GHz"}


def test_gpus_are_named_and_counted_and_the_driver_is(tmp_path):
    found = machine(tmp_path, version=VERSION, cards=["NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"])
    assert (found["gpu"], found["driver"]) == ("2 x NVIDIA H100 80GB HBM3", "580.65.06")


def test_the_open_kernel_modules_say_their_version_elsewhere_in_the_line(tmp_path):
    assert machine(tmp_path, version=OPEN_VERSION, cards=["NVIDIA T4"])["driver"] == "570.133.20"


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ("", "cpu"),
        ("8 x NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"),
        ("1 x NVIDIA T4, 2 x NVIDIA L4", "NVIDIA T4+NVIDIA L4"),
    ],
)
def test_the_class_of_what_takes_a_gpu_is_the_gpu_where_there_is_one(monkeypatch, cards, expected):
    found = {"hardware": f"{platform.machine()}-cpu", **({"gpu": cards} if cards else {})}
    monkeypatch.setattr("slipway.identity.machine.this_machine", lambda: found)
    assert gpu_hardware_class() == f"{platform.machine()}-{expected}"


def test_this_machine_has_a_processor_with_a_name():
    assert this_machine()["cpu"]
