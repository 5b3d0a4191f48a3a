from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from slipway.device.transport import Transport
from slipway.embedded.fleet import main
from slipway.embedded.fleet_replay import RegistryReplays, ReplayedSensor
from slipway.embedded.fleet_rounds import Rounds
from slipway.errors import RegistryError, UnavailableError, UnreadableDataError
from tests.simulators.signed_repository import served
from tests.simulators.tiny_versions import npz

ARTIFACT = "model-versions/get-artifact"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run_for(rounds: Rounds, seconds: float) -> None:
    stop = threading.Event()
    threading.Timer(seconds, stop.set).start()
    rounds.run(stop)


def test_every_device_is_stepped_at_its_pace_and_never_twice_at_a_time() -> None:
    counts, inside, overlaps = [0] * 6, [False] * 6, []

    def step(index: int) -> None:
        overlaps.append(inside[index])
        inside[index] = True
        counts[index] += 1
        time.sleep(0.005)
        inside[index] = False

    run_for(Rounds([lambda index=index: step(index) for index in range(6)], 0.1, 2), 0.55)
    assert not any(overlaps)
    assert min(counts) >= 2
    assert max(counts) <= 7


def test_a_step_that_fails_does_not_stop_the_others_nor_itself() -> None:
    calls = {"bad": 0, "good": 0}

    def bad() -> None:
        calls["bad"] += 1
        raise RuntimeError("boom")

    def good() -> None:
        calls["good"] += 1

    run_for(Rounds([bad, good], 0.02, 1), 0.3)
    assert calls["bad"] > 2
    assert calls["good"] > 2


def test_recorded_rows_are_fetched_once_and_each_sensor_starts_elsewhere(tmp_path: Path) -> None:
    rows = np.arange(10, dtype=np.float32).reshape(10, 1)
    (tmp_path / ARTIFACT).parent.mkdir()
    (tmp_path / ARTIFACT).write_bytes(npz({"input:x": rows, "labels": rows}))
    with served(tmp_path) as server:
        replays = RegistryReplays(server.url, Transport())
        first, second = (ReplayedSensor(replays, "flight_delay", "3", start) for start in (0, 8))
        assert first.read(3)["x"].ravel().tolist() == [0, 1, 2]
        assert first.read(3)["x"].ravel().tolist() == [3, 4, 5]
        assert second.read(4)["x"].ravel().tolist() == [8, 9, 0, 1]
        assert server.requests == [f"/{ARTIFACT}?name=flight_delay&version=3&path=replay.npz"]


def test_a_registry_that_does_not_answer_is_asked_again_a_little_later_and_not_by_every_device(tmp_path: Path) -> None:
    clock = Clock()
    with served(tmp_path) as server:
        replays = RegistryReplays(server.url, Transport(), clock)
        for _ in range(20):
            with pytest.raises(RegistryError, match=r"replay\.npz of version 3"):
                replays.rows("flight_delay", "3")
        assert len(server.requests) == 1
        (tmp_path / ARTIFACT).parent.mkdir()
        (tmp_path / ARTIFACT).write_bytes(npz({"input:x": np.zeros((2, 1))}))
        clock.now += 6
        assert len(replays.rows("flight_delay", "3")["x"]) == 2
    with pytest.raises(UnavailableError):
        RegistryReplays("http://127.0.0.1:1", Transport()).rows("flight_delay", "3")


@pytest.mark.parametrize(
    "content", [b"<html>", npz({"labels": np.zeros(3)}), npz({"input:x": np.array([{}, {}], dtype=object)})]
)
def test_recorded_rows_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ARTIFACT).parent.mkdir()
    (tmp_path / ARTIFACT).write_bytes(content)
    with served(tmp_path) as server, pytest.raises(UnreadableDataError, match="record"):
        RegistryReplays(server.url, Transport()).rows("flight_delay", "3")


@pytest.mark.parametrize("secrets", [None, "", "[]", json.dumps({"other": "x"})])
def test_a_fleet_without_its_token_says_where_it_looked(
    tmp_path: Path, secrets: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "secrets.json"
    if secrets is not None:
        file.write_text(secrets)
    arguments = f"--state {tmp_path} --gateway http://g --mlflow http://m --pipelines a --secrets {file}"
    assert main(arguments.split()) == 2
    assert "gateway_enrolment_token" in capsys.readouterr().err
