from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.device.channel import TufChannel
from slipway.device.transport import Transport
from slipway.errors import ChannelError, DeviceError, UnavailableError, UntrustedError
from tests.simulators.signed_repository import SignedRepository
from tests.unit.device.world import World, order


def channel(world: World, **changes: Any) -> TufChannel:
    given = {"gateway": world.server.url, "state": world.folder / "channel", "root": world.repository.root, **changes}
    return TufChannel(pipeline="flight_delay", transport=Transport(timeout_seconds=2.0), clock=world.clock, **given)


def edit(path: Path, **changes: Any) -> None:
    metadata = json.loads(path.read_bytes())
    metadata["signed"].update(changes)
    path.write_text(json.dumps(metadata))


def test_a_poll_gives_the_signed_order(world: World) -> None:
    world.release("1", "2", 25)
    polled = channel(world).poll()
    assert polled is not None
    assert (polled.current, polled.next, polled.percent) == ("1", "2", 25)


def test_a_pipeline_without_a_channel_has_no_order_and_costs_one_small_request_a_poll(world: World) -> None:
    world.repository.publish(None, {})
    quiet = channel(world)
    assert quiet.poll() is None
    world.server.requests.clear()
    assert quiet.poll() is None
    assert world.server.requests == ["/tuf/metadata/timestamp.json"]


def test_an_unchanged_channel_costs_one_small_request_and_a_change_is_seen_at_once(world: World) -> None:
    world.release("1")
    polled = channel(world)
    polled.poll()
    world.server.requests.clear()
    polled.poll()
    assert world.server.requests == ["/tuf/metadata/timestamp.json"]
    world.release("2")
    changed = polled.poll()
    assert changed is not None
    assert changed.current == "2"


def test_a_full_refresh_happens_now_and_then_to_see_a_new_root(world: World) -> None:
    world.release("1")
    polled = channel(world)
    polled.poll()
    world.server.requests.clear()
    world.clock.now += 61  # type: ignore[attr-defined]
    polled.poll()
    assert "/tuf/metadata/2.root.json" in world.server.requests


def test_a_signed_file_is_downloaded_and_described(world: World) -> None:
    made = world.add("1")
    polled = channel(world)
    polled.poll()
    path = "flight_delay/1/x86-cpu/model.onnx"
    found = polled.find(path)
    assert found is not None
    assert found.sha256 == made.manifest["sha256"]
    assert found.announced["target"] == "x86-cpu"
    polled.download(path, world.folder / "model.onnx")
    assert (world.folder / "model.onnx").read_bytes() == made.model
    assert polled.find("flight_delay/9/x86-cpu/model.onnx") is None
    with pytest.raises(UntrustedError, match="publish it"):
        polled.download("flight_delay/9/x86-cpu/model.onnx", world.folder / "nothing")


@pytest.mark.parametrize("longer", [False, True])
def test_a_tampered_artifact_is_not_written(world: World, longer: bool) -> None:
    world.add("1")
    path = "flight_delay/1/x86-cpu/model.onnx"
    stored = world.repository.stored(path)
    data = stored.read_bytes()
    stored.write_bytes(data + b"\x00" if longer else bytes([data[0] ^ 1]) + data[1:])
    polled = channel(world)
    polled.poll()
    with pytest.raises(UntrustedError, match=r"model\.onnx"):
        polled.download(path, world.folder / "model.onnx")
    assert not (world.folder / "model.onnx").exists()


def test_tampered_metadata_is_refused(world: World) -> None:
    world.release("1")
    edit(world.repository.targets, version=1, targets={})
    with pytest.raises(UntrustedError, match="does not verify"):
        channel(world).poll()


def test_a_timestamp_signed_with_another_key_is_refused(world: World) -> None:
    world.release("1")
    stranger = SignedRepository(world.folder / "stranger")
    stranger.publish(order(1, "666"), {})
    world.repository.timestamp.write_bytes(stranger.timestamp.read_bytes())
    with pytest.raises(UntrustedError, match="does not verify"):
        channel(world).poll()


def test_a_gateway_with_another_root_is_refused(world: World) -> None:
    world.release("1")
    stranger = SignedRepository(world.folder / "stranger")
    with pytest.raises(UntrustedError):
        channel(world, root=stranger.root).poll()


def test_an_expired_timestamp_is_refused_also_without_a_change(world: World) -> None:
    world.repository.publish(order(1, "1"), {}, timestamp_days=-0.01)
    with pytest.raises(UntrustedError, match="stale"):
        channel(world).poll()


def test_metadata_that_expires_between_two_polls_is_looked_at_again(world: World) -> None:
    world.repository.publish(order(1, "1"), {})
    polled = channel(world, full_refresh_seconds=1e9)
    polled.poll()
    world.server.requests.clear()
    world.clock.now += 8 * 86_400 + (2**31)  # type: ignore[attr-defined]
    polled.poll()
    assert "/tuf/metadata/2.root.json" in world.server.requests


def test_an_old_timestamp_played_again_is_refused(world: World) -> None:
    world.release("1")
    old = world.repository.timestamp.read_bytes()
    world.release("2")
    polled = channel(world)
    polled.poll()
    world.repository.timestamp.write_bytes(old)
    with pytest.raises(UntrustedError, match="does not verify"):
        polled.poll()


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b'{"pipeline": "flight_delay"}', b"\xff\xfe"])
def test_a_signed_order_that_is_garbage_is_refused(world: World, content: bytes) -> None:
    world.repository.publish(content, {})
    with pytest.raises(ChannelError, match="expected"):
        channel(world).poll()


def test_an_unreachable_gateway_is_no_reason_for_distrust(world: World) -> None:
    with pytest.raises(UnavailableError, match="tried again"):
        channel(world, gateway="http://127.0.0.1:1").poll()


def test_a_gateway_without_metadata_is_unavailable(world: World) -> None:
    with pytest.raises(UnavailableError):
        channel(world).poll()


def test_a_signed_file_missing_at_the_gateway_is_unavailable(world: World) -> None:
    world.add("1")
    world.repository.stored("flight_delay/1/x86-cpu/model.onnx").unlink()
    polled = channel(world)
    polled.poll()
    with pytest.raises(UnavailableError, match=r"model\.onnx"):
        polled.download("flight_delay/1/x86-cpu/model.onnx", world.folder / "model.onnx")


def test_a_state_folder_that_cannot_be_written_is_the_devices_own_fault(world: World) -> None:
    world.release("1")
    (world.folder / "file").write_text("in the way")
    with pytest.raises(DeviceError, match="could not write"):
        channel(world, state=world.folder / "file" / "channel").poll()


def test_after_bad_metadata_was_mended_the_next_poll_obeys_again(world: World) -> None:
    world.release("1")
    good = world.repository.timestamp.read_bytes()
    polled = channel(world)
    polled.poll()
    world.repository.timestamp.write_bytes(b"\x00garbage")
    with pytest.raises(UntrustedError):
        polled.poll()
    world.repository.timestamp.write_bytes(good)
    assert polled.poll() is not None
