"""What drove a device and which devices ran a version: from real devices, and as PostgreSQL answers it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.connections import ChannelConnection
from slipway.gateway.store import Store
from slipway.gateway.wire import Batch, Enrolment
from slipway.release.gateway_client import GatewayClient
from tests.integration.test_channel import database, postgres  # noqa: F401 - fixtures
from tests.integration.test_device import OPERATOR, Site, until, version_files

PIPELINE = "history"
NOON = 1_800_000_000.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def test_a_real_device_that_installs_twice_and_is_rolled_back_has_three_rows(site: Site):
    operator = GatewayClient(ChannelConnection(site.url, "", "", OPERATOR))
    began = time.time()
    site.release("1", None, version_files(1))
    device = site.start_device()
    until(lambda: site.count_on("1") == 1, "version 1 on the device")
    site.release("2", "1", version_files(2))
    until(lambda: site.count_on("2") == 1, "version 2 on the device")
    site.channel.rollback("flight_delay", "r2", "a test")
    until(lambda: site.count_on("1") == 1, "the device back on version 1")
    device.kill()
    device.wait()

    first, second, third = operator.history("car-1")
    assert [(ran.version, ran.release) for ran in (first, second, third)] == [("1", "r1"), ("2", "r2"), ("1", "r2")]
    assert began < first.since < second.since < third.since < time.time()
    assert (first.until, second.until, third.until) == (second.since, third.since, None)
    assert {ran.clock for ran in (first, second, third)} == {"device"}
    for ran, before in ((first, None), (second, first), (third, second)):
        assert operator.running("car-1", ran.since - 0.001) == before
        assert operator.running("car-1", ran.since) == operator.running("car-1", ran.since + 0.001) == ran
    assert operator.devices_of("flight_delay", ["2"]) == (second,)
    assert [ran.now for ran in operator.devices_of("flight_delay", ["1"])] == [False, True]

    assert operator.remove("flight_delay", "car-1")
    assert operator.running("car-1", second.since).version == "2"
    assert operator.running("car-1", time.time()) is None


def test_every_database_answers_alike(database: str):  # noqa: F811
    now = NOON
    store = Store(database, clock=lambda: now)
    for device in ("car-a", "car-b"):
        store.enrol(
            Enrolment(device_id=device, public_key="0" * 64, target="x86-cpu", architecture="x86_64", pipeline=PIPELINE)
        )
        for number, version in enumerate(["1", "2", "1"]):
            now = NOON + number * 100
            store.accept(batch(device, number, now, version), "{}")
    now = NOON + 300
    assert store.remove(PIPELINE, "car-b")

    told = ("device_id", "version", "since", "until", "removed")
    odd = ['none "such"', "a,b", "{}", "back\\slash", "NULL", "line\nbreak", "%s", ":x", "ü", "'"]
    found = [tuple(row[name] for name in told) for row in store.devices_of(PIPELINE, ["1", *odd]).stretches]
    assert found == [
        ("car-a", "1", NOON, NOON + 100, False),
        ("car-a", "1", NOON + 200, None, False),
        ("car-b", "1", NOON, NOON + 100, False),
        ("car-b", "1", NOON + 200, NOON + 300, True),
    ]
    for name in odd:
        now += 1
        store.accept(batch("car-a", 100 + round(now - NOON), now, name), "{}")
        assert [row["version"] for row in store.devices_of(PIPELINE, [name]).stretches] == [name]
    behind = store.devices_of(PIPELINE, ["1"], ("car-a", 99)).stretches
    assert [row["device_id"] for row in behind] == ["car-b", "car-b"]
    for at, version in ((-1, None), (0, "1"), (100, "2"), (199, "2"), (200, "1"), (300, None)):
        ran = store.running("car-b", NOON + at)
        assert (ran and ran["version"]) == version
    assert len(store.history("car-b", 0).stretches) == 2
    store.close()


def batch(device: str, sequence: int, at: float, version: str) -> Batch:
    event: dict[str, Any] = {"kind": "update", "version": version, "from": None, "outcome": "installed"}
    said = {"device_id": device, "sequence": sequence, "sent_at": at, "events": [{**event, "release": "r"}]}
    return Batch.model_validate_json(json.dumps(said))
