"""Which version a device ran when: the fold over its events, and the table that keeps it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from slipway.connections import ChannelConnection
from slipway.errors import ReleaseError, UnavailableError, UnknownDeviceError
from slipway.gateway import history
from slipway.gateway.app import Tokens, create_app
from slipway.gateway.changes import EARLIEST, Brought, changes, moment
from slipway.gateway.store import Store
from slipway.gateway.wire import MAX_VERSIONS, Batch, Enrolment, Event
from slipway.release.fleet_history import Ran
from slipway.release.gateway_client import GatewayClient

TOKENS = Tokens(enrolment="enrolment-token-0", operator="operator-token-00")
OPERATOR = {"Authorization": f"Bearer {TOKENS.operator}"}
NOON = 1_800_000_000.0
_EVENTS = TypeAdapter(tuple[Event, ...])


def moved(version: str | None, release: str | None = "r1", outcome: str = "installed") -> dict[str, Any]:
    return {"kind": "update", "version": version, "from": None, "outcome": outcome, "release": release}


def status(version: str | None) -> dict[str, Any]:
    return {"kind": "status", "version": version, "target": "x86-cpu"}


class Car:
    """A device whose batches go straight into a store, with both clocks in the test's hand."""

    def __init__(self, url: str, device_id: str = "car-1", pipeline: str = "flight_delay") -> None:
        self.store = Store(url, clock=lambda: self.received)
        self.received = NOON
        self.device_id = device_id
        self._sequence = 0
        self.enrol(pipeline)

    def enrol(self, pipeline: str = "flight_delay") -> None:
        place = {"target": "x86-cpu", "architecture": "x86_64", "pipeline": pipeline}
        assert self.store.enrol(Enrolment(device_id=self.device_id, public_key="0" * 64, **place)) in {"new", "known"}

    def batch(self, at: float, *events: dict[str, Any], received: float | None = None) -> Batch:
        self._sequence += 1
        self.received = at + 2 if received is None else received
        said = {"device_id": self.device_id, "sequence": self._sequence, "sent_at": at, "events": events}
        return Batch.model_validate_json(json.dumps(said))

    def says(self, at: float, *events: dict[str, Any], received: float | None = None) -> None:
        self.store.accept(self.batch(at, *events, received=received), "{}")

    def drove(self) -> list[tuple[Any, ...]]:
        """Its stretches as (version, release, since, until)."""
        page = self.store.history(self.device_id)
        return [(row["version"], row["release"], row["since"], row["until"]) for row in page.stretches]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/gateway.db"


@pytest.fixture
def car(url: str) -> Iterator[Car]:
    made = Car(url)
    yield made
    made.store.close()


def three_moves(car: Car) -> None:
    car.says(NOON, moved("1"), status("1"))
    car.says(NOON + 100, moved("2", "r2"), status("2"))
    car.says(NOON + 200, moved("1", "r2", "rolled_back"), status("1"))


class TestMoment:
    def test_the_devices_own_clock_is_believed_when_it_can_be_right(self):
        assert moment(NOON - 3600, NOON, NOON - 7200) == (NOON - 3600, "device")

    @pytest.mark.parametrize("sent_at", [0.0, EARLIEST - 1, NOON - 7201, NOON + 1])
    def test_a_clock_that_cannot_be_right_gives_way_to_the_receipt(self, sent_at: float):
        assert moment(sent_at, NOON, NOON - 7200) == (NOON, "gateway")

    @given(sent_at=st.floats(0, 1e11), received_at=st.floats(0, 1e11), not_before=st.floats(0, 1e11))
    def test_time_never_runs_backwards(self, sent_at: float, received_at: float, not_before: float):
        assert moment(sent_at, received_at, not_before)[0] >= not_before


class TestRows:
    def test_an_install_an_install_and_a_rollback_are_three_rows(self, car: Car):
        three_moves(car)
        assert car.drove() == [
            ("1", "r1", NOON, NOON + 100),
            ("2", "r2", NOON + 100, NOON + 200),
            ("1", "r2", NOON + 200, None),
        ]

    @pytest.mark.parametrize(
        ("at", "version"),
        [(-0.001, None), (0, "1"), (99.999, "1"), (100, "2"), (150, "2"), (200, "1"), (1e6, "1")],
    )
    def test_what_ran_is_answered_before_between_after_and_on_the_boundary(
        self, car: Car, at: float, version: str | None
    ):
        three_moves(car)
        found = car.store.running("car-1", NOON + at)
        assert (found and found["version"]) == version

    def test_repeated_batches_and_unchanged_states_add_nothing(self, car: Car):
        first = car.batch(NOON, moved("1"))
        for _ in range(3):
            car.store.accept(first, "{}")
        car.says(NOON + 10, status("1"))
        car.says(NOON + 20, moved("2", "r2", "refused"), moved("2", "r2", "failed"))
        assert car.drove() == [("1", "r1", NOON, None)]

    def test_the_same_version_of_another_release_is_a_change(self, car: Car):
        car.says(NOON, moved("1"))
        car.says(NOON + 10, moved("1", "r2"))
        assert car.drove() == [("1", "r1", NOON, NOON + 10), ("1", "r2", NOON + 10, None)]

    @pytest.mark.parametrize("version", ["none", None])
    def test_to_run_nothing_is_known_and_not_unknown(self, car: Car, version: str | None):
        car.says(NOON, moved("1"))
        car.says(NOON + 10, moved(version, "r2", "rolled_back"))
        found = car.store.running("car-1", NOON + 10)
        assert found is not None and (found["version"], found["release"]) == (None, "r2")

    def test_a_version_that_only_a_status_names_has_no_known_release(self, car: Car):
        car.says(NOON, moved("1"))
        car.says(NOON + 10, status("2"))
        assert car.drove()[1] == ("2", None, NOON + 10, None)

    def test_several_changes_in_one_batch_are_all_kept_and_the_last_one_answers(self, car: Car):
        car.says(NOON, moved("1"), moved("2", "r2"))
        assert car.drove() == [("1", "r1", NOON, NOON), ("2", "r2", NOON, None)]
        assert car.store.running("car-1", NOON)["version"] == "2"
        assert [row["device_id"] for row in car.store.devices_of("flight_delay", ["1"]).stretches] == ["car-1"]

    def test_a_batch_that_waited_on_the_device_counts_from_when_it_was_sealed(self, car: Car):
        car.says(NOON, moved("1"), received=NOON + 86_400)
        (row,) = car.store.history("car-1").stretches
        assert (row["since"], row["clock"], row["received_at"]) == (NOON, "device", NOON + 86_400)

    def test_a_clock_set_back_keeps_the_order_of_the_changes(self, car: Car):
        car.says(NOON, moved("1"))
        car.says(NOON - 500, moved("2", "r2"), received=NOON + 60)
        assert car.drove() == [("1", "r1", NOON, NOON + 60), ("2", "r2", NOON + 60, None)]
        assert car.store.history("car-1").stretches[1]["clock"] == "gateway"

    def test_a_refused_batch_leaves_no_row_behind(self, car: Car, monkeypatch: pytest.MonkeyPatch):
        def fails(*_: object) -> None:
            raise RuntimeError("after the totals")

        with monkeypatch.context() as patched, pytest.raises(RuntimeError):
            patched.setattr(history, "_append", fails)
            car.says(NOON, moved("1"))
        assert car.drove() == [] and car.store.devices("flight_delay")[0]["version"] is None


class TestGrownDatabases:
    def test_a_device_that_ran_a_version_before_there_was_a_history_begins_with_it(self, car: Car, url: str):
        car.says(NOON, moved("1"))
        with sa.create_engine(url).begin() as connection:
            connection.exec_driver_sql("DROP TABLE gateway_running")
        car.store.close()
        car.store = Store(url, clock=lambda: car.received)
        assert car.drove() == []
        car.says(NOON + 100, moved("2", "r2"))
        assert car.drove() == [("1", "r1", NOON + 2, NOON + 100), ("2", "r2", NOON + 100, None)]
        assert car.store.history("car-1").stretches[0]["clock"] == "gateway"


class TestRemoval:
    def test_what_a_removed_device_ran_stays_known_and_what_came_after_is_not(self, car: Car):
        three_moves(car)
        car.received = NOON + 300
        assert car.store.remove("flight_delay", "car-1")
        assert car.store.running("car-1", NOON + 299)["version"] == "1"
        assert car.store.running("car-1", NOON + 300) is None
        last = car.store.history("car-1").stretches[-1]
        assert (last["version"], last["until"], last["removed"], last["seen"]) == ("1", NOON + 300, True, None)

    def test_a_device_that_enrols_again_continues(self, car: Car):
        car.says(NOON, moved("1"))
        car.received = NOON + 50
        car.store.remove("flight_delay", "car-1")
        car.enrol()
        assert car.drove() == [("1", "r1", NOON, NOON + 50)]
        car.says(NOON + 100, status("1"))
        assert car.drove() == [("1", "r1", NOON, NOON + 50), ("1", None, NOON + 100, None)]
        assert car.store.running("car-1", NOON + 75) is None

    def test_a_device_that_never_reported_leaves_nothing(self, car: Car):
        assert car.store.running("car-1", NOON) is None
        car.store.remove("flight_delay", "car-1")
        with pytest.raises(UnknownDeviceError, match="car-1"):
            car.store.running("car-1", NOON)

    def test_a_device_of_another_pipeline_is_not_removed(self, car: Car):
        car.says(NOON, moved("1"))
        assert not car.store.remove("digit_reader", "car-1")
        assert car.store.running("car-1", NOON + 9e9)["version"] == "1"


def test_a_device_that_moves_to_another_pipeline_starts_anew_there(car: Car):
    car.says(NOON, moved("1"))
    car.enrol("digit_reader")
    car.says(NOON + 10, status("1"))
    assert [row["pipeline"] for row in car.store.history("car-1").stretches] == ["flight_delay", "digit_reader"]
    assert len(car.store.devices_of("digit_reader", ["1"]).stretches) == 1


_SAID = st.one_of(
    st.builds(
        moved,
        st.sampled_from(["1", "2", "3", "none", None]),
        st.sampled_from(["r1", "r2", None]),
        st.sampled_from(["installed", "refused", "failed", "rolled_back"]),
    ),
    st.builds(status, st.sampled_from(["1", "2", None])),
)


@dataclass
class Model:
    """The fold in the plainest words: one dictionary of what runs, and a list of what it became."""

    runs: tuple[str | None, str | None] | None = None

    def follow(self, said: dict[str, Any]) -> tuple[str | None, str | None] | None:
        """What it runs after the event, if that is new."""
        before = self.runs
        version = None if said["version"] == "none" else said["version"]
        if said["kind"] == "status":
            if before is None or before[0] != version:
                self.runs = (version, None)
        elif said["outcome"] not in {"refused", "failed"}:
            self.runs = (version, said["release"])
        return self.runs if self.runs != before else None


@given(batches=st.lists(st.lists(_SAID, max_size=4), max_size=8), repeats=st.sets(st.integers(0, 7)))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_history_is_the_fold_over_the_events_however_they_are_cut_and_repeated(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[dict[str, Any]]], repeats: set[int]
):
    car = Car(f"sqlite:///{tmp_path_factory.mktemp('fold')}/gateway.db")
    model, expected = Model(), []
    for number, events in enumerate(batches):
        batch = car.batch(NOON + number * 10, *events)
        for _ in range(2 if number in repeats else 1):
            car.store.accept(batch, "{}")
        followed = [(NOON + number * 10, model.follow(said)) for said in events]
        expected += [(*runs, since) for since, runs in followed if runs is not None]
    untils = [since for _, _, since in expected[1:]] + [None]
    assert car.drove() == [(*row, until) for row, until in zip(expected, untils, strict=False)]
    for number in range(len(batches)):
        known = [version for version, _, since in expected if since <= NOON + number * 10]
        found = car.store.running("car-1", NOON + number * 10)
        assert (None if found is None else found["version"]) == (known[-1] if known else None)
        assert (found is None) == (not known)
    car.store.close()


@given(events=st.lists(_SAID, max_size=10), cut=st.integers(0, 10))
def test_a_cut_between_two_batches_changes_nothing(events: list[dict[str, Any]], cut: int):
    whole = changes(None, _EVENTS.validate_python(tuple(events)))
    first = changes(None, _EVENTS.validate_python(tuple(events[:cut])))
    rest = changes(first[-1] if first else None, _EVENTS.validate_python(tuple(events[cut:])))
    assert first + rest == whole
    assert all(one != other for one, other in itertools.pairwise(whole))


def test_a_status_that_agrees_keeps_the_release_that_is_known():
    assert changes(Brought("1", "r1"), _EVENTS.validate_python((status("1"),))) == ()


@pytest.fixture
def http(car: Car, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(car.store, tmp_path, TOKENS)) as client:
        yield client


class Operator(GatewayClient):
    """The gateway's own client, through the application in this process."""

    def __init__(self, http: TestClient, token: str = TOKENS.operator) -> None:
        super().__init__(ChannelConnection("http://testserver", "", "", token), transport=http._transport, attempts=1)


class TestOperator:
    def test_the_client_reads_what_the_store_holds(self, car: Car, http: TestClient):
        three_moves(car)
        asked = Operator(http)
        first, second, third = asked.history("car-1")
        seen = NOON + 202
        assert first == Ran(
            "car-1", "flight_delay", "1", "r1", NOON, NOON + 100, "device", NOON + 2, removed=False, seen=seen
        )
        assert asked.running("car-1", NOON + 100) == second
        assert asked.running("car-1", NOON - 1) is None
        assert asked.devices_of("flight_delay", ["1", "9", "1"]) == (first, third)
        assert (first.now, third.now) == (False, True)
        assert asked.devices_of("flight_delay", []) == asked.devices_of("digit_reader", ["1"]) == ()

    def test_an_unknown_device_has_an_error_of_its_own(self, http: TestClient):
        for unknown in ("car-9", "", "..", "a/b", "a\x00", "ü"):
            with pytest.raises(UnknownDeviceError):
                Operator(http).history(unknown)
            with pytest.raises(UnknownDeviceError):
                Operator(http).running(unknown, NOON)

    def test_long_answers_come_in_pages_that_the_client_joins(
        self, car: Car, http: TestClient, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(history, "PAGE", 3)
        for number in range(10):
            car.says(NOON + number, moved(str(number % 2)))
        other = Car(str(car.store._engine.url), "car-0")
        other.says(NOON, moved("1"))
        other.store.close()
        assert [ran.since for ran in Operator(http).history("car-1")] == [NOON + number for number in range(10)]
        found = Operator(http).devices_of("flight_delay", ["1"])
        assert [ran.device_id for ran in found] == ["car-0"] + ["car-1"] * 5
        page = http.get("/v1/devices/car-1/history", headers=OPERATOR).json()
        assert (len(page["stretches"]), page["next"]) == (3, 2)

    def test_ten_thousand_versions_are_one_question_and_more_are_several(self, car: Car, http: TestClient):
        three_moves(car)
        many = [f"v{number}" for number in range(MAX_VERSIONS)]
        asked = {"pipeline": "flight_delay", "versions": [*many[1:], "2"]}
        answer = http.post("/v1/ran", json=asked, headers=OPERATOR)
        assert [row["version"] for row in answer.json()["stretches"]] == ["2"]
        refused = http.post("/v1/ran", json={**asked, "versions": [*many, "2"]}, headers=OPERATOR)
        assert refused.status_code == 422
        assert [ran.version for ran in Operator(http).devices_of("flight_delay", [*many, "2", "1"])] == ["1", "2", "1"]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"pipeline": "flight_delay"},
            {"pipeline": "flight_delay", "versions": []},
            {"pipeline": "flight_delay", "versions": [1]},
            {"pipeline": "flight_delay", "versions": ["a\x00"]},
            {"pipeline": "flight_delay", "versions": ["x" * 201]},
            {"pipeline": "No Such", "versions": ["1"]},
            {"pipeline": "flight_delay", "versions": ["1"], "after": ["car-1"]},
            {"pipeline": "flight_delay", "versions": ["1"], "after": ["car-1", -1]},
            {"pipeline": "flight_delay", "versions": ["1"], "more": 1},
        ],
    )
    def test_a_question_that_makes_no_sense_is_refused(self, http: TestClient, body: dict[str, Any]):
        assert http.post("/v1/ran", json=body, headers=OPERATOR).status_code == 422

    @pytest.mark.parametrize("at", ["", "noon", "nan", "inf", "-1", "1e300", "1" * 300, "2013-01-01"])
    def test_a_time_that_is_none_is_refused(self, http: TestClient, at: str):
        asked = http.get("/v1/devices/car-1/running", params={"at": at}, headers=OPERATOR)
        assert asked.status_code == 422

    @pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "9" * 30])
    def test_a_page_that_is_none_is_refused(self, http: TestClient, after: str):
        asked = http.get("/v1/devices/car-1/history", params={"after": after}, headers=OPERATOR)
        assert asked.status_code == 422

    def test_a_time_that_is_none_is_told_the_caller(self, http: TestClient):
        with pytest.raises(ReleaseError, match="Unix seconds"):
            Operator(http).running("car-1", float("nan"))

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/v1/devices/car-1/running?at=1"), ("GET", "/v1/devices/car-1/history"), ("POST", "/v1/ran")],
    )
    @pytest.mark.parametrize("token", ["", "wrong", TOKENS.enrolment])
    def test_only_the_operator_asks(self, http: TestClient, method: str, path: str, token: str):
        headers = {"Authorization": f"Bearer {token}"}
        assert http.request(method, path, headers=headers).status_code == 401

    def test_a_database_that_is_away_is_told_apart_from_an_unknown_device(self, car: Car, tmp_path: Path):
        with TestClient(create_app(car.store, tmp_path, TOKENS), raise_server_exceptions=False) as broken:
            car.store.close()
            (tmp_path / "gateway.db").unlink()
            with pytest.raises(UnavailableError):
                Operator(broken).running("car-1", NOON)
