"""A device is removed: by the command against a real gateway, and under the posts of the device itself."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from slipway.connections import ChannelConnection
from slipway.embedded.secret_store import ensure_secrets
from slipway.gateway.store import Store
from slipway.gateway.wire import Batch, Enrolment
from slipway.release.channel import Channel
from slipway.release.gateway_client import GatewayClient
from slipway.release.rollout import Rollout
from tests.integration.test_channel import (  # noqa: F401 - fixtures
    PIPELINE,
    ROOT,
    TOKENS,
    Serving,
    SimpleDevice,
    connection,
    database,
    postgres,
)
from tests.simulators.channel import version_files


@pytest.fixture
def fleet(connection: ChannelConnection, tmp_path: Path) -> Iterator[list[SimpleDevice]]:  # noqa: F811
    store = Store(f"sqlite:///{tmp_path}/gateway.db")
    with Serving(connection, store), httpx.Client(base_url=connection.gateway, trust_env=False) as http:
        devices = [SimpleDevice(http, f"device-{number}") for number in range(3)]
        assert [device.enrol() for device in devices] == [201, 201, 201]
        yield devices
    store.close()


@pytest.fixture
def environment(connection: ChannelConnection, tmp_path: Path) -> dict[str, str]:  # noqa: F811
    """A checkout's settings that name this gateway."""
    port = urlsplit(connection.gateway).port
    text = (ROOT / "airflow_settings.yaml").read_text()
    assert text.count("18080") == 1
    (tmp_path / "airflow_settings.yaml").write_text(text.replace("18080", str(port)))
    var = tmp_path / "var"
    ensure_secrets(var / "secrets.json")
    stored = (var / "secrets.json").read_text()
    token = ensure_secrets(var / "secrets.json").get("slipway_channel", "conn_password")
    (var / "secrets.json").write_text(stored.replace(token, TOKENS.operator))
    places = {"SLIPWAY_VAR": str(var), "SLIPWAY_AIRFLOW_SETTINGS": str(tmp_path / "airflow_settings.yaml")}
    return {**places, "PYTHONPATH": str(ROOT / "include"), "PATH": os.defpath}


def remove(environment: dict[str, str], *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slipway", "fleet", "remove", *arguments]
    given = {"env": environment, "input": answer, "timeout": 120}
    return subprocess.run(command, capture_output=True, text=True, check=False, **given)


def test_a_release_waits_for_a_device_no_longer_once_it_is_removed(
    fleet: list[SimpleDevice],
    connection: ChannelConnection,  # noqa: F811
    environment: dict[str, str],
):
    channel = Channel(connection)
    channel.initialise()
    release = Rollout(PIPELINE, "r", "1", channel, GatewayClient(connection))
    release.prepare(version_files())
    state = release.open_phase(100)
    for device in fleet[:2]:
        device.follow(state)
    assert "device-2 (silent)" in release.observe().reason
    assert release.observe().action == "wait"

    refused = remove(environment, "flight_delay", "device-2", answer="n\n")
    assert refused.returncode != 0 and "device-2" in refused.stdout
    assert release.observe().action == "wait"

    done = remove(environment, "flight_delay", "device-2", answer="y\n")
    assert done.returncode == 0, done.stderr
    assert "device-2 is removed from flight_delay" in done.stdout
    assert release.observe().action == "continue"
    assert fleet[2].post() == 404


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("flight_delay", "device-9", "--yes"), 1, "flight_delay has no device 'device-9'"),
        (("digit_reader", "device-0", "--yes"), 1, "digit_reader has no device 'device-0'"),
        (("no_such", "device-0", "--yes"), 2, "no_such"),
    ],
)
def test_what_cannot_be_removed_is_said_and_nothing_is(
    fleet: list[SimpleDevice],
    connection: ChannelConnection,  # noqa: F811
    environment: dict[str, str],
    arguments: tuple[str, ...],
    code: int,
    said: str,
):
    answer = remove(environment, *arguments)
    assert (answer.returncode, said in answer.stderr) == (code, True), answer.stderr
    assert len(GatewayClient(connection).devices("flight_delay")) == len(fleet)


def test_a_removal_amid_the_devices_posts_leaves_nothing_of_it(database: str):  # noqa: F811
    store = Store(database)
    enrolment = Enrolment(
        device_id="busy", public_key="0" * 64, target="x86-cpu", architecture="x86_64", pipeline="removal"
    )
    event = {"kind": "update", "version": "1", "from": None, "outcome": "installed", "golden_agreement": 1.0}

    def post_until_gone(sequences: Iterator[int]) -> None:
        for sequence in sequences:
            said = {"device_id": "busy", "sequence": sequence, "sent_at": 1.0, "events": [{**event, "release": "r"}]}
            try:
                store.accept(Batch.model_validate_json(json.dumps(said)), "{}")
            except LookupError:
                return

    for _ in range(5):
        assert store.enrol(enrolment) == "new"
        sequences = itertools.count()
        with ThreadPoolExecutor(5) as pool:
            posting = [pool.submit(post_until_gone, sequences) for _ in range(4)]
            while next(sequences) < 20:
                time.sleep(0.001)
            assert pool.submit(store.remove, "removal", "busy").result() is True
            for one in posting:
                one.result()
        assert store.devices("removal") == []
        assert store.evidence("removal", "r", "1") == []
    assert store.remove("removal", "busy") is False
    store.close()
