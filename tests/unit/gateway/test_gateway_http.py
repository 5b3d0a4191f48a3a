"""The gateway over HTTP: who may do what, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from slipway.errors import ConfigurationError
from slipway.gateway.__main__ import read_tokens
from slipway.gateway.app import Tokens, create_app
from slipway.gateway.store import Store
from slipway.gateway.wire import MAX_BODY_BYTES

TOKENS = Tokens(enrolment="enrolment-token-0", operator="operator-token-00")
OPERATOR = {"Authorization": f"Bearer {TOKENS.operator}"}
STATUS = {"kind": "status", "version": "1", "target": "x86-cpu"}


class SigningDevice:
    """Signs as a device does."""

    def __init__(self, client: TestClient, device_id: str = "device-00") -> None:
        self.key = Ed25519PrivateKey.generate()
        self.device_id = device_id
        self._client = client

    def enrol(self, token: str = TOKENS.enrolment, **changed: object) -> Any:
        said = {
            "device_id": self.device_id,
            "public_key": self.key.public_key().public_bytes_raw().hex(),
            "target": "x86-cpu",
            "architecture": "x86_64",
            "pipeline": "flight_delay",
        }
        return self._client.post("/v1/enrol", json={**said, **changed}, headers={"Authorization": f"Bearer {token}"})

    def batch(self, *events: object, sequence: int = 1, **changed: object) -> bytes:
        said = {"device_id": self.device_id, "sequence": sequence, "sent_at": 1.5, "events": events}
        return json.dumps({**said, **changed}).encode()

    def post(self, body: bytes, **headers: str) -> Any:
        signed = {"X-Slipway-Device": self.device_id, "X-Slipway-Signature": self.key.sign(body).hex(), **headers}
        return self._client.post("/v1/telemetry", content=body, headers=signed)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "timestamp.json").write_text("{}")
    (folder / "targets" / "flight_delay" / "1").mkdir(parents=True)
    (folder / "targets" / "flight_delay" / "1" / "abc.golden.npz").write_bytes(b"golden")
    (folder / "secret.txt").write_text("not to be served")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "root.pem").write_text("private")
    return folder


@pytest.fixture
def client(tmp_path: Path, repository: Path) -> Iterator[TestClient]:
    store = Store(f"sqlite:///{tmp_path}/gateway.db")
    with TestClient(create_app(store, repository, TOKENS)) as client:
        yield client
    store.close()


@pytest.fixture
def device(client: TestClient) -> SigningDevice:
    device = SigningDevice(client)
    assert device.enrol().status_code == 201
    return device


def test_it_is_healthy_while_its_database_answers(client: TestClient):
    assert client.get("/healthz").status_code == 200


def test_a_database_that_is_away_is_a_503_devices_retry_on(client: TestClient, tmp_path: Path, repository: Path):
    store = Store(f"sqlite:///{tmp_path}/other.db")
    store.close()
    (tmp_path / "other.db").unlink()
    (tmp_path / "other.db").mkdir()
    with TestClient(create_app(store, repository, TOKENS), raise_server_exceptions=False) as broken:
        answer = broken.get("/healthz")
    assert answer.status_code == 503
    assert "database" in answer.json()["error"]
    with pytest.raises(OperationalError):
        store.check()


class TestEnrolment:
    def test_the_same_key_again_is_fine(self, device: SigningDevice):
        assert device.enrol().status_code == 200

    def test_another_key_for_the_same_id_is_refused(self, client: TestClient, device: SigningDevice):
        thief = SigningDevice(client, device.device_id)
        assert thief.enrol().status_code == 409
        assert thief.post(thief.batch(STATUS)).status_code == 401

    @pytest.mark.parametrize("token", ["", "wrong", TOKENS.operator, "ü"])
    def test_a_wrong_token_is_refused(self, client: TestClient, token: str):
        device = SigningDevice(client)
        header = f"Bearer {token}".encode("latin-1")
        answer = client.post("/v1/enrol", json={}, headers={"Authorization": header})
        assert answer.status_code == 401
        assert device.post(device.batch(STATUS)).status_code == 404

    @pytest.mark.parametrize(
        "wrong",
        [
            {"public_key": "00"},
            {"public_key": "Z" * 64},
            {"device_id": "../x"},
            {"device_id": ""},
            {"device_id": "x" * 200},
            {"pipeline": "No Such"},
            {"target": "a\x00b"},
            {"extra": 1},
            {"target": None},
        ],
    )
    def test_a_wrong_body_is_refused(self, client: TestClient, wrong: dict):
        assert SigningDevice(client).enrol(**wrong).status_code == 422
        assert client.get("/v1/devices", params={"pipeline": "flight_delay"}, headers=OPERATOR).json() == {
            "devices": []
        }


class TestTelemetry:
    def test_a_batch_is_accepted_once(self, device: SigningDevice):
        body = device.batch(STATUS, STATUS)
        first, second = device.post(body), device.post(body)
        assert (first.status_code, first.json()) == (202, {"accepted": 2, "sequence": 1})
        assert (second.status_code, second.json()) == (200, {"accepted": 0, "sequence": 1})

    def test_an_empty_batch_is_a_sign_of_life(self, device: SigningDevice):
        assert device.post(device.batch()).status_code == 202

    def test_an_unknown_device_is_told_to_enrol(self, client: TestClient):
        stranger = SigningDevice(client, "stranger")
        assert stranger.post(stranger.batch(STATUS)).status_code == 404

    def test_a_changed_body_does_not_verify(self, device: SigningDevice):
        signature = device.key.sign(device.batch(STATUS)).hex()
        changed = device.batch(STATUS, sequence=2)
        assert device.post(changed, **{"X-Slipway-Signature": signature}).status_code == 401

    @pytest.mark.parametrize("signature", ["00", "zz", "0" * 128, "ü"])
    def test_a_broken_signature_does_not_verify(self, device: SigningDevice, signature: str):
        body = device.batch(STATUS)
        headers = {"X-Slipway-Device": device.device_id, "X-Slipway-Signature": signature.encode("latin-1")}
        assert device._client.post("/v1/telemetry", content=body, headers=headers).status_code == 401

    def test_headers_are_required(self, client: TestClient, device: SigningDevice):
        assert client.post("/v1/telemetry", content=device.batch(STATUS)).status_code == 401

    def test_one_device_cannot_speak_for_another(self, client: TestClient, device: SigningDevice):
        other = SigningDevice(client, "device-01")
        assert other.enrol().status_code == 201
        body = device.batch(STATUS, device_id="device-00")
        assert other.post(body).status_code == 422

    def test_a_large_body_is_refused_whether_announced_or_not(self, client: TestClient, device: SigningDevice):
        body = b" " * (MAX_BODY_BYTES + 1)
        assert device.post(body).status_code == 413
        pieces = (body[:1000] for _ in range(MAX_BODY_BYTES // 1000 + 2))
        headers = {"X-Slipway-Device": device.device_id, "X-Slipway-Signature": "00"}
        assert client.post("/v1/telemetry", content=pieces, headers=headers).status_code == 413

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not json",
            b"\xff\xfe",
            b"[]",
            b'{"device_id": "device-00"}',
            b'{"device_id": "device-00", "sequence": 1, "sent_at": NaN, "events": []}',
            b'{"device_id": "device-00", "sequence": "1", "sent_at": 1, "events": []}',
            b'{"device_id": "device-00", "sequence": -1, "sent_at": 1, "events": []}',
            b'{"device_id": "device-00", "sequence": 9007199254740992, "sent_at": 1, "events": []}',
            b'{"device_id": "device-00", "sequence": 1, "sent_at": 1, "events": [], "more": 1}',
            b'{"device_id": "device-00", "sequence": 1, "sent_at": 1, "events": [{"kind": "status"}]}',
            b'{"device_id": "device-00", "sequence": 1, "sent_at": 1, "events": [{"kind": "unknown"}]}',
        ],
    )
    def test_what_does_not_fit_the_schema_is_refused(self, device: SigningDevice, body: bytes):
        assert device.post(body).status_code == 422

    @pytest.mark.parametrize(
        "wrong",
        [
            {"errors": 101},
            {"count": -1},
            {"count": 2.5},
            {"predictions": {"late": 101}},
            {"predictions": {"a\x00": 1}},
            {"latency_ms": {"p50": 1.0, "p95": -1.0, "max": 2.0}},
            {"latency_ms": {"p50": 1.0}},
            {"version": None},
        ],
    )
    def test_an_inference_event_that_cannot_be_true_is_refused(self, device: SigningDevice, wrong: dict):
        latency = {"p50": 1.0, "p95": 2.0, "max": 3.0}
        said = {
            "kind": "inference",
            "version": "1",
            "count": 100,
            "errors": 0,
            "latency_ms": latency,
            "predictions": {},
        }
        assert device.post(device.batch({**said, **wrong})).status_code == 422
        assert device.post(device.batch(said)).status_code == 202

    def test_a_long_reason_is_kept_short_and_not_refused(self, client: TestClient, device: SigningDevice):
        event = {"kind": "update", "version": "2", "from": None, "outcome": "refused", "reason": "x" * 5000}
        assert device.post(device.batch({**event, "golden_agreement": None, "release": "r"})).status_code == 202
        asked = {"pipeline": "flight_delay", "release": "r", "version": "2"}
        (found,) = client.get("/v1/evidence", params=asked, headers=OPERATOR).json()["devices"]
        assert len(found["reason"]) == 500


class TestOperator:
    @pytest.mark.parametrize("path", ["/v1/devices", "/v1/evidence"])
    @pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer x"}, {"Authorization": TOKENS.operator}])
    def test_only_the_operator_reads(self, client: TestClient, path: str, header: dict):
        assert client.get(path, params={"pipeline": "flight_delay"}, headers=header).status_code == 401

    @pytest.mark.parametrize("query", [{}, {"pipeline": ""}, {"pipeline": "x" * 201}, {"pipeline": "a\x00"}])
    def test_an_incomplete_question_is_refused(self, client: TestClient, query: dict):
        assert client.get("/v1/devices", params=query, headers=OPERATOR).status_code == 422

    def test_devices_and_evidence_are_what_was_reported(self, client: TestClient, device: SigningDevice):
        update = {"kind": "update", "version": "2", "from": "1", "outcome": "installed", "reason": None}
        latency = {"p50": 1.0, "p95": 2.0, "max": 3.0}
        inference = {"kind": "inference", "version": "2", "count": 10, "errors": 2, "latency_ms": latency}
        device.post(
            device.batch(
                {**update, "golden_agreement": 1.0, "release": "r"},
                {**inference, "predictions": {"late": 3, "on_time": 5}},
            )
        )
        (found,) = client.get("/v1/devices", params={"pipeline": "flight_delay"}, headers=OPERATOR).json()["devices"]
        assert (found["device_id"], found["target"], found["version"]) == ("device-00", "x86-cpu", "2")
        assert found["last_seen"] > 1.7e9
        asked = {"pipeline": "flight_delay", "release": "r", "version": "2"}
        assert client.get("/v1/evidence", params=asked, headers=OPERATOR).json() == {
            "devices": [
                {
                    "device_id": "device-00",
                    "version": "2",
                    "outcome": "installed",
                    "reason": None,
                    "golden_agreement": 1.0,
                    "inferences": 10,
                    "errors": 2,
                    "p95_ms": 2.0,
                    "predictions": {"late": 3, "on_time": 5},
                }
            ]
        }
        for other in ({"release": "s"}, {"version": "1"}, {"pipeline": "digit_reader"}):
            assert client.get("/v1/evidence", params={**asked, **other}, headers=OPERATOR).json() == {"devices": []}


class TestRemoval:
    def removed(self, client: TestClient, device_id: str = "device-00", pipeline: str = "flight_delay") -> int:
        asked = {"pipeline": pipeline}
        return client.delete(f"/v1/devices/{device_id}", params=asked, headers=OPERATOR).status_code

    def test_a_removed_device_is_gone_with_what_it_reported(self, client: TestClient, device: SigningDevice):
        other = SigningDevice(client, "device-01")
        other.enrol()
        update = {"kind": "update", "version": "2", "from": "1", "outcome": "installed", "reason": None}
        for one in (device, other):
            one.post(one.batch({**update, "golden_agreement": 1.0, "release": "r"}))
        assert self.removed(client) == 204
        pipeline = {"pipeline": "flight_delay"}
        for path, asked in (("devices", pipeline), ("evidence", {**pipeline, "release": "r", "version": "2"})):
            found = client.get(f"/v1/{path}", params=asked, headers=OPERATOR).json()["devices"]
            assert [row["device_id"] for row in found] == ["device-01"]
        assert device.post(device.batch(STATUS, sequence=2)).status_code == 404

    def test_its_id_may_enrol_with_another_key_and_count_from_the_start(
        self, client: TestClient, device: SigningDevice
    ):
        device.post(device.batch(STATUS, sequence=1))
        replaced = SigningDevice(client, device.device_id)
        assert replaced.enrol().status_code == 409
        assert self.removed(client) == 204
        assert replaced.enrol().status_code == 201
        assert replaced.post(replaced.batch(STATUS, sequence=1)).json() == {"accepted": 1, "sequence": 1}
        assert device.post(device.batch(STATUS, sequence=9)).status_code == 401

    @pytest.mark.parametrize(
        ("device_id", "pipeline"),
        [("device-01", "flight_delay"), ("device-00", "digit_reader"), ("a%00", "flight_delay")],
    )
    def test_what_is_not_there_is_not_found_and_nothing_changes(
        self, client: TestClient, device: SigningDevice, device_id: str, pipeline: str
    ):
        assert self.removed(client, device_id, pipeline) == 404
        assert device.post(device.batch(STATUS)).status_code == 202

    @pytest.mark.parametrize("token", [None, "", "wrong-token-00000", TOKENS.enrolment])
    def test_only_the_operator_removes(self, client: TestClient, device: SigningDevice, token: str | None):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        asked = {"pipeline": "flight_delay"}
        assert client.delete("/v1/devices/device-00", params=asked, headers=headers).status_code == 401
        assert device.post(device.batch(STATUS)).status_code == 202

    def test_it_must_say_of_which_pipeline(self, client: TestClient, device: SigningDevice):
        assert client.delete("/v1/devices/device-00", headers=OPERATOR).status_code == 422
        assert device.post(device.batch(STATUS)).status_code == 202


class TestSignedFiles:
    def test_metadata_and_targets_are_served(self, client: TestClient):
        timestamp = client.get("/tuf/metadata/timestamp.json")
        assert (timestamp.status_code, timestamp.headers["cache-control"]) == (200, "no-cache")
        golden = client.get("/tuf/targets/flight_delay/1/abc.golden.npz")
        assert (golden.content, "immutable" in golden.headers["cache-control"]) == (b"golden", True)
        head = client.head("/tuf/targets/flight_delay/1/abc.golden.npz")
        assert (head.status_code, head.content) == (200, b"")

    @pytest.mark.parametrize(
        "path",
        [
            "/tuf/metadata/2.root.json",
            "/tuf/targets/flight_delay/1",
            "/tuf/targets/",
            "/tuf/metadata",
            "/tuf/secret.txt",
            "/tuf/targets/../secret.txt",
            "/tuf/targets/%2e%2e/secret.txt",
            "/tuf/targets/..%2f..%2fkeys/root.pem",
            "/tuf/targets//etc/passwd",
            "/tuf/targets/%2fetc%2fpasswd",
            "/tuf/targets/x%00y",
            "/",
        ],
    )
    def test_everything_else_is_not_found(self, client: TestClient, path: str):
        answer = client.get(path, follow_redirects=True)
        assert answer.status_code == 404, answer.text

    def test_a_link_out_of_the_repository_is_not_followed(self, client: TestClient, repository: Path):
        (repository / "targets" / "out").symlink_to(repository.parent / "keys")
        assert client.get("/tuf/targets/out/root.pem").status_code == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_nothing_can_be_written(self, client: TestClient, repository: Path, method: str):
        assert client.request(method, "/tuf/metadata/timestamp.json", content=b"x").status_code == 405
        assert (repository / "metadata" / "timestamp.json").read_text() == "{}"


class TestSecretsFile:
    def test_tokens_come_from_the_file_and_are_not_shown(self, tmp_path: Path):
        path = tmp_path / "secrets.json"
        path.write_text(json.dumps({"gateway_enrolment_token": "e" * 16, "gateway_operator_token": "o" * 16, "x": 1}))
        tokens = read_tokens(path)
        assert (tokens.enrolment, tokens.operator) == ("e" * 16, "o" * 16)
        assert "eeee" not in repr(tokens)

    @pytest.mark.parametrize(
        "content", ["", "[]", "{}", '{"gateway_enrolment_token": "short", "gateway_operator_token": 1}']
    )
    def test_weak_or_missing_tokens_stop_it_from_starting(self, tmp_path: Path, content: str):
        path = tmp_path / "secrets.json"
        path.write_text(content)
        with pytest.raises(ConfigurationError, match=r"secrets\.json"):
            read_tokens(path)

    def test_a_missing_file_is_named(self, tmp_path: Path):
        with pytest.raises(ConfigurationError, match=r"none\.json"):
            read_tokens(tmp_path / "none.json")
