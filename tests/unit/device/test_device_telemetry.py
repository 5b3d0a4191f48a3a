from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.device.events import InferenceTally, status_event, update_event
from slipway.device.gateway import Enrolment
from slipway.device.identity import load_or_create_identity
from slipway.device.inference import infer
from slipway.device.runtime import Tensors
from slipway.device.telemetry import Spool, Telemetry
from slipway.errors import DeviceError, UnavailableError
from tests.simulators.gateway import TOKEN, GatewaySimulator
from tests.unit.device.world import Clock

STATUS = status_event("1", "x86-cpu")
UPDATE = update_event(version="2", previous="1", outcome="installed", release="r")


class Desk:
    """Telemetry of one enrolled device; a new one on the same folder is the device restarted."""

    def __init__(self, folder: Path, gateway: GatewaySimulator | None = None, max_batches: int = 1000) -> None:
        self.clock = Clock()
        identity = load_or_create_identity(folder / "device", "car-1")
        self.gateway = gateway or GatewaySimulator()
        self.gateway.enrol(Enrolment("car-1", identity.public_key, "x86-cpu", "x86_64", "flight_delay"), TOKEN)
        self.spool = Spool(folder / "spool", max_batches, self.clock)
        self.telemetry = Telemetry(identity, self.gateway, self.spool)

    def say(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.telemetry.add(event)
        self.telemetry.seal()


def test_events_arrive_signed_in_order_and_the_spool_is_empty_after(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.say(STATUS, UPDATE)
    desk.say(STATUS)
    assert desk.telemetry.post()
    assert desk.gateway.events() == [STATUS, UPDATE, STATUS]
    assert len(desk.spool) == 0


def test_nothing_is_lost_while_the_gateway_is_away_also_over_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.gateway.reachable = False
    for _ in range(3):
        desk.say(STATUS)
    with pytest.raises(UnavailableError):
        desk.telemetry.post()
    desk.gateway.reachable = True
    restarted = Desk(tmp_path, desk.gateway)
    restarted.say(UPDATE)
    restarted.telemetry.post()
    assert desk.gateway.events() == [STATUS, STATUS, STATUS, UPDATE]


def test_sequence_numbers_rise_over_restarts_and_clocks_that_go_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.say(STATUS)
    desk.telemetry.post()
    desk.clock.now -= 86_400
    desk.say(STATUS)
    desk.telemetry.post()
    restarted = Desk(tmp_path, desk.gateway)
    restarted.clock.now -= 172_800
    restarted.say(STATUS)
    restarted.telemetry.post()
    sequences = [batch["sequence"] for batch in desk.gateway.batches]
    assert sequences == sorted(set(sequences))
    assert len(sequences) == 3


def test_a_batch_posted_twice_is_the_same_bytes_and_counted_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.say(STATUS)
    (file,) = (tmp_path / "spool").glob("*.json")
    kept = file.read_bytes()
    desk.telemetry.post()
    # The acknowledgement was lost: the batch is still on disk at the next start.
    file.write_bytes(kept)
    restarted = Desk(tmp_path, desk.gateway)
    restarted.telemetry.post()
    assert desk.gateway.posts == 2
    assert desk.gateway.events() == [STATUS]


def test_a_full_spool_drops_the_oldest_batch_without_an_update(tmp_path: Path) -> None:
    desk = Desk(tmp_path, max_batches=3)
    desk.say(UPDATE)
    for version in ("1", "2", "3", "4"):
        desk.say(status_event(version, "x86-cpu"))
    desk.telemetry.post()
    assert [event["version"] for event in desk.gateway.events("status")] == ["3", "4"]
    assert len(desk.gateway.events("update")) == 1
    assert desk.spool.dropped == 2


def test_a_batch_the_gateway_rejects_is_put_aside_and_the_next_ones_go_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.say(STATUS)
    desk.gateway.refuse = set(desk.spool.oldest(1))
    desk.say(UPDATE)
    assert desk.telemetry.post()
    assert desk.gateway.events() == [UPDATE]
    assert len(list((tmp_path / "spool" / "rejected").iterdir())) == 1
    assert len(desk.spool) == 0


def test_a_device_the_gateway_does_not_know_keeps_its_telemetry(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.say(STATUS)
    desk.gateway.enrolled.clear()
    assert not desk.telemetry.post()
    assert len(desk.spool) == 1


def test_a_full_disk_does_not_silence_the_device(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        desk.say(UPDATE)
        assert desk.telemetry.post()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert desk.gateway.events() == [UPDATE]
    restarted = Desk(tmp_path, desk.gateway)
    restarted.clock.now += 1
    restarted.say(STATUS)
    restarted.telemetry.post()
    assert desk.gateway.events() == [UPDATE, STATUS], "the number used in memory must not be used again"


def test_a_spool_file_lost_from_disk_does_not_block_the_others(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.say(STATUS)
    for file in (tmp_path / "spool").glob("*.json"):
        file.unlink()
    desk.say(UPDATE)
    desk.telemetry.post()
    assert desk.gateway.events() == [UPDATE]


def test_an_unusable_spool_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(DeviceError, match="spool"):
        Spool(tmp_path / "spool")


def test_a_long_spool_is_posted_a_piece_at_a_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(25):
        desk.say(STATUS)
    desk.telemetry.post()
    assert len(desk.gateway.batches) == 20
    desk.telemetry.post()
    assert len(desk.gateway.batches) == 25
    assert not list((tmp_path / "spool").glob("*.json"))


class OddSession:
    """Fails on rows that start with a negative number and gives no finite answer on those above ten."""

    inputs = {"x": "float32"}  # noqa: RUF012 - the protocol asks for a mapping, not for a mutable one

    def run(self, inputs: Tensors) -> Any:
        value = inputs["x"][0, 0]
        if value < 0:
            raise RuntimeError("bad row")
        return np.array([[0.0, np.nan if value > 10 else value]])


def test_failed_rows_and_answers_that_are_no_numbers_count_as_errors() -> None:
    tally = InferenceTally("2")
    rows = {"x": np.array([[1.0], [-1.0], [11.0], [2.0]])}
    assert infer(OddSession(), rows, ("on_time", "late"), tally) == 4
    event = tally.event()
    assert (event["count"], event["errors"], event["predictions"]) == (4, 2, {"late": 2})
    assert 0 < event["latency_ms"]["p50"] <= event["latency_ms"]["p95"] <= event["latency_ms"]["max"]


def test_events_are_what_the_wire_format_says() -> None:
    tally = InferenceTally("2")
    tally.answered(0.5, "late")
    assert json.loads(json.dumps(tally.event())) == {
        "kind": "inference",
        "version": "2",
        "count": 1,
        "errors": 0,
        "latency_ms": {"p50": 0.5, "p95": 0.5, "max": 0.5},
        "predictions": {"late": 1},
    }
    assert set(UPDATE) == {"kind", "version", "from", "outcome", "reason", "golden_agreement", "release"}
    assert InferenceTally("2").event()["latency_ms"] == {"p50": 0.0, "p95": 0.0, "max": 0.0}


def test_a_reason_is_cut_to_a_length_the_gateway_takes() -> None:
    long = update_event(version="2", previous=None, outcome="failed", release=None, reason="x" * 5000)
    assert len(long["reason"]) == 500
