"""What a channel promises, on the signed one and on its simulator; then what only the signed one has."""

import datetime as dt
import json
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata

from slipway.connections import ChannelConnection
from slipway.errors import ChannelError, ReleaseError, UnavailableError
from slipway.release.channel import Channel
from slipway.release.channel_files import LocalFiles, exclusive
from slipway.release.channel_state import Artifact, ChannelState
from tests.simulators.channel import ChannelSimulator, DyingFiles, Killed

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now


def state(**changed: object) -> ChannelState:
    said = {"pipeline": "flight_delay", "release": "r1", "salt": "r1:0", "percent": 0, "current": None, "next": "1"}
    return ChannelState.model_validate({**said, **changed})


def artifact(path: str = "flight_delay/1/x86-cpu/model.onnx", content: bytes = b"model 1", version: str = "1"):
    return {path: Artifact(content, {"pipeline": "flight_delay", "version": version, "target": "x86-cpu"})}


@pytest.fixture
def connection(tmp_path: Path) -> ChannelConnection:
    return ChannelConnection("http://127.0.0.1:1", str(tmp_path / "repository"), str(tmp_path / "keys"), "token")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signed(connection: ChannelConnection, clock: Clock) -> Channel:
    channel = Channel(connection, clock=clock)
    channel.initialise()
    return channel


@pytest.fixture(params=["signed", "simulated"])
def channel(request: pytest.FixtureRequest) -> Iterator[Channel | ChannelSimulator]:
    yield request.getfixturevalue("signed") if request.param == "signed" else ChannelSimulator()


def files_of(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


class TestBothChannels:
    def test_nothing_is_published_at_first(self, channel):
        assert channel.state("flight_delay") is None

    def test_the_serial_rises_with_every_change(self, channel):
        first = channel.publish(state(), artifact())
        second = channel.publish(first.model_copy(update={"percent": 5}))
        assert (first.serial, second.serial) == (1, 2)
        assert channel.state("flight_delay") == second

    def test_publishing_the_same_again_changes_nothing(self, channel):
        first = channel.publish(state(), artifact(), "why")
        published = channel.publication("flight_delay")
        assert channel.publish(state(), artifact(), "another reason") == first
        assert channel.publication("flight_delay") == published

    def test_a_returning_state_gets_a_new_serial(self, channel):
        channel.publish(state(), artifact())
        channel.publish(state(percent=5))
        assert channel.publish(state()).serial == 3

    def test_a_file_is_read_back_as_it_was_published(self, channel):
        channel.publish(state(), artifact())
        assert channel.read("flight_delay/1/x86-cpu/model.onnx") == b"model 1"
        assert ChannelState.parse(channel.read("flight_delay/channel.json")).serial == 1

    def test_a_rollback_returns_to_the_version_before_and_is_idempotent(self, channel):
        channel.publish(state(current="1", next="2", percent=25))
        back = channel.rollback("flight_delay", "r1", "errors")
        assert (back.current, back.next, back.percent, back.serial) == ("1", None, 0, 2)
        assert channel.rollback("flight_delay", "r1", "again") == back
        assert channel.publication("flight_delay").reason == "errors"

    def test_only_the_release_under_way_can_be_rolled_back(self, channel):
        with pytest.raises(ReleaseError):
            channel.rollback("flight_delay", "r1", "never started")
        channel.publish(state(release="r2"))
        with pytest.raises(ReleaseError):
            channel.rollback("flight_delay", "r1", "another is under way")
        channel.publish(state(release="r2", current="1", next=None, percent=100))
        with pytest.raises(ReleaseError, match="completed"):
            channel.rollback("flight_delay", "r2", "too late")

    def test_pipelines_do_not_touch_each_other(self, channel):
        channel.publish(state(), artifact())
        other = state(pipeline="digit_reader", next="7")
        channel.publish(other, {"digit_reader/7/golden.npz": Artifact(b"g", {"version": "7"})})
        assert channel.state("flight_delay").next == "1"
        assert channel.state("digit_reader").serial == 1
        assert channel.read("flight_delay/1/x86-cpu/model.onnx") == b"model 1"

    @pytest.mark.parametrize(
        "wrong",
        [
            artifact("digit_reader/1/model.onnx"),
            artifact("flight_delay/../keys/root.pem"),
            artifact(version="9"),
            {"flight_delay/1/golden.npz": Artifact(b"g", {})},
        ],
    )
    def test_a_file_outside_its_place_is_refused(self, channel, wrong):
        with pytest.raises(ChannelError):
            channel.publish(state(), wrong)
        assert channel.state("flight_delay") is None

    def test_a_version_never_changes_its_bytes(self, channel):
        channel.publish(state(), artifact())
        with pytest.raises(ChannelError, match="other bytes"):
            channel.publish(state(), artifact(content=b"another model"))

    def test_files_of_versions_nobody_needs_leave_the_channel(self, channel):
        channel.publish(state(), artifact())
        channel.publish(state(release="r2", current="2", next=None))
        with pytest.raises(ChannelError):
            channel.read("flight_delay/1/x86-cpu/model.onnx")


def test_keys_are_private(signed: Channel, connection: ChannelConnection):
    keys = Path(connection.keys)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()}
    assert set(modes) == {"root.pem", "targets.pem", "snapshot.pem", "timestamp.pem", "published.json", ".lock"}
    assert set(modes.values()) == {0o600}


def test_initialising_again_changes_nothing(signed: Channel, connection: ChannelConnection):
    before = files_of(connection.repository), files_of(connection.keys)
    Channel(connection).initialise()
    assert (files_of(connection.repository), files_of(connection.keys)) == before


def test_publishing_the_same_signs_nothing(signed: Channel, connection: ChannelConnection):
    signed.publish(state(), artifact())
    before = files_of(connection.repository)
    signed.publish(state(), artifact())
    signed.publish(state())
    assert files_of(connection.repository) == before


def test_what_is_signed_with_a_file_is_in_the_metadata(signed: Channel, connection: ChannelConnection):
    signed.publish(state(), artifact())
    newest = Metadata.from_file(str(Path(connection.repository) / "metadata" / "2.targets.json")).signed
    assert newest.targets["flight_delay/1/x86-cpu/model.onnx"].custom["target"] == "x86-cpu"
    assert newest.targets["flight_delay/channel.json"].custom["published_at_ms"] == NOW.timestamp() * 1000


def test_without_initialising_it_says_what_to_do(connection: ChannelConnection):
    with pytest.raises(ChannelError, match="initialise"):
        Channel(connection).publish(state(), artifact())


def test_lost_keys_are_never_replaced_in_silence(signed: Channel, connection: ChannelConnection):
    shutil.rmtree(connection.keys)
    with pytest.raises(ChannelError, match="backup"):
        Channel(connection).initialise()
    with pytest.raises(ChannelError, match="key is missing"):
        Channel(connection).publish(state(), artifact())


def test_keys_of_another_channel_are_refused(signed: Channel, connection: ChannelConnection, tmp_path: Path):
    other = ChannelConnection("g", str(tmp_path / "other"), str(tmp_path / "other-keys"), "token")
    Channel(other).initialise()
    mixed = ChannelConnection("g", connection.repository, other.keys, "token")
    with pytest.raises(ChannelError, match="not the one devices trust"):
        Channel(mixed).initialise()
    with pytest.raises(ChannelError, match="not signed"):
        Channel(mixed).publish(state(), artifact())


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
def test_changed_metadata_is_never_signed_on(signed: Channel, connection: ChannelConnection, name: str):
    signed.publish(state(), artifact())
    path = Path(connection.repository) / "metadata" / name
    content = json.loads(path.read_bytes())
    content["signed"]["expires"] = "2036-01-01T00:00:00Z"
    path.write_text(json.dumps(content))
    with pytest.raises(ChannelError, match="backup"):
        signed.publish(state(percent=5))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"signed": {"_type": "root"}}'])
def test_unreadable_metadata_is_an_error_of_the_channel(signed: Channel, connection: ChannelConnection, content: bytes):
    (Path(connection.repository) / "metadata" / "timestamp.json").write_bytes(content)
    with pytest.raises(ChannelError, match="not readable"):
        signed.state("flight_delay")


def test_a_changed_file_is_noticed_when_it_is_read(signed: Channel, connection: ChannelConnection):
    signed.publish(state(), artifact())
    (stored,) = Path(connection.repository).rglob("*.model.onnx")
    stored.write_bytes(b"evil")
    with pytest.raises(ChannelError, match="not what was signed"):
        signed.read("flight_delay/1/x86-cpu/model.onnx")
    signed.publish(state(), artifact())
    assert signed.read("flight_delay/1/x86-cpu/model.onnx") == b"model 1"


def test_an_old_copy_of_the_repository_is_noticed(signed: Channel, connection: ChannelConnection, tmp_path: Path):
    signed.publish(state(), artifact())
    shutil.copytree(connection.repository, tmp_path / "copy")
    signed.publish(state(percent=5))
    shutil.rmtree(connection.repository)
    shutil.copytree(tmp_path / "copy", connection.repository)
    with pytest.raises(ChannelError, match="older"):
        signed.publish(state(percent=25))


def test_a_fresh_timestamp_is_signed_only_when_it_is_due(signed: Channel, clock: Clock):
    assert signed.refresh_timestamp() is False
    clock.now += dt.timedelta(days=4)
    assert signed.refresh_timestamp() is True
    assert signed.refresh_timestamp() is False


@pytest.mark.parametrize("days", [5, 60, 200, 400])
def test_every_role_lives_again_after_a_refresh(
    signed: Channel, connection: ChannelConnection, clock: Clock, days: int
):
    signed.publish(state(), artifact())
    clock.now += dt.timedelta(days=days)
    while signed.refresh_timestamp():
        pass
    folder = Path(connection.repository) / "metadata"
    for role in ("root", "targets", "snapshot"):
        newest = max(folder.glob(f"*.{role}.json"), key=lambda path: int(path.name.split(".")[0]))
        assert not Metadata.from_file(str(newest)).signed.is_expired(clock.now)
    assert not Metadata.from_file(str(folder / "timestamp.json")).signed.is_expired(clock.now)
    assert signed.state("flight_delay").serial == 1


def test_a_root_key_kept_elsewhere_is_asked_for_only_when_the_root_expired(
    signed: Channel, connection: ChannelConnection, clock: Clock
):
    (Path(connection.keys) / "root.pem").unlink()
    offline = Channel(connection, clock=clock)
    offline.publish(state(), artifact())
    clock.now += dt.timedelta(days=200)
    assert offline.refresh_timestamp() is True
    clock.now += dt.timedelta(days=200)
    with pytest.raises(ChannelError, match=r"root\.pem"):
        offline.refresh_timestamp()


@pytest.mark.parametrize("writes", range(6))
def test_killed_at_any_write_the_old_state_stays_and_a_retry_converges(
    signed: Channel, connection: ChannelConnection, writes: int
):
    before = signed.publish(state(), artifact())
    following = state(release="r2", current="1", next="2", percent=0)
    new = artifact("flight_delay/2/x86-cpu/model.onnx", b"model 2", "2")
    dying = DyingFiles(LocalFiles(Path(connection.repository)), writes)
    killed = Channel(connection, files=dying)
    if writes < 5:  # the file, channel.json, targets, snapshot, timestamp
        with pytest.raises(Killed):
            killed.publish(following, new)
        assert Channel(connection).state("flight_delay") == before
    else:
        killed.publish(following, new)
    after = Channel(connection).publish(following, new)
    assert (after.serial, after.next) == (2, "2")
    assert Channel(connection).read("flight_delay/2/x86-cpu/model.onnx") == b"model 2"


@pytest.mark.parametrize("writes", range(4))
def test_killed_while_initialising_a_retry_finishes(connection: ChannelConnection, writes: int):
    with pytest.raises(Killed):
        Channel(connection, files=DyingFiles(LocalFiles(Path(connection.repository)), writes)).initialise()
    retried = Channel(connection)
    retried.initialise()
    assert retried.publish(state(), artifact()).serial == 1


def test_two_releases_at_once_both_get_through(signed: Channel, connection: ChannelConnection):
    def release(pipeline: str) -> None:
        channel = Channel(connection)
        for percent in range(1, 11):
            channel.publish(state(pipeline=pipeline, percent=percent))

    threads = [threading.Thread(target=release, args=(name,)) for name in ("flight_delay", "digit_reader")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("flight_delay", "digit_reader"):
        found = signed.state(name)
        assert (found.serial, found.percent) == (10, 10)


def test_a_held_lock_ends_in_a_clear_error(tmp_path: Path):
    lock = tmp_path / "lock"
    with (
        exclusive(lock),
        pytest.raises(UnavailableError, match="held by another process"),
        exclusive(lock, timeout_seconds=0.05),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"{}", b'{"pipeline": "flight_delay", "percent": "5"}', b"\xff"])
def test_a_broken_channel_file_is_an_error_of_the_channel(content: bytes):
    with pytest.raises(ChannelError, match="not a channel state"):
        ChannelState.parse(content)


def test_the_content_devices_obey_is_written_down():
    said = state(serial=7, percent=25, current="1", next="2")
    assert said.content() == (
        b'{"current":"1","next":"2","percent":25,"pipeline":"flight_delay","release":"r1","salt":"r1:0","serial":7}\n'
    )
    assert ChannelState.parse(said.content()) == said
