from __future__ import annotations

import json

import pytest

from slipway.device.order import ChannelOrder, cohort_bucket, parse_order
from slipway.errors import ChannelError
from slipway.release.channel_state import ChannelState
from tests.unit.device.world import order

FLEET = [f"device-{number}" for number in range(2000)]


def parsed(**changes: object) -> ChannelOrder:
    return parse_order(json.dumps({**order(7, "1", "2", 25), **changes}).encode(), "flight_delay")


def test_the_share_of_a_fleet_that_wants_the_next_version_follows_the_percentage() -> None:
    share = sum(parsed().wanted_by(device) == "2" for device in FLEET) / len(FLEET)
    assert 0.22 < share < 0.28


def test_a_device_that_got_the_next_version_keeps_it_as_the_percentage_rises() -> None:
    early = {device for device in FLEET if parsed(percent=5).wanted_by(device) == "2"}
    late = {device for device in FLEET if parsed(percent=25).wanted_by(device) == "2"}
    assert early
    assert early < late


def test_everyone_gets_the_next_version_at_100_and_no_one_at_0_percent() -> None:
    assert {parsed(percent=100).wanted_by(device) for device in FLEET} == {"2"}
    assert {parsed(percent=0).wanted_by(device) for device in FLEET} == {"1"}


def test_another_salt_chooses_other_first_devices() -> None:
    first = {device for device in FLEET if parsed(salt="a").wanted_by(device) == "2"}
    second = {device for device in FLEET if parsed(salt="b").wanted_by(device) == "2"}
    assert len(first - second) > 0.5 * len(first)


def test_the_bucket_is_the_one_of_the_wire_format() -> None:
    # The first 16 digits that sha256sum gives for "salt:device-0", modulo 10,000.
    assert cohort_bucket("salt", "device-0") == 2430


def test_without_a_version_the_device_is_to_run_nothing() -> None:
    assert parsed(current=None, next=None).wanted_by("device-1") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"percent": 101},
        {"percent": "25"},
        {"percent": True},
        {"serial": -1},
        {"serial": 1.5},
        {"salt": ""},
        {"release": None},
        {"next": "../../etc"},
        {"current": ".hidden"},
        {"current": 3},
        {"pipeline": "digit_reader"},
    ],
)
def test_an_order_with_a_bad_field_is_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(ChannelError, match=next(iter(changes)) if "pipeline" not in changes else "channel of"):
        parsed(**changes)


@pytest.mark.parametrize("data", [b"", b"\x00\xff", b"[]", b"null", b"{}", b'{"pipeline": "flight_delay"}'])
def test_garbage_is_not_an_order(data: bytes) -> None:
    with pytest.raises(ChannelError, match="expected"):
        parse_order(data, "flight_delay")


def test_the_device_reads_an_order_as_the_channel_that_signs_it_means_it() -> None:
    for percent in (0, 1, 5, 25, 99, 100):
        signed = ChannelState(
            pipeline="flight_delay", release="r", serial=3, salt="s", percent=percent, current="1", next="2"
        )
        read = parse_order(signed.content(), "flight_delay")
        assert [read.wanted_by(device) for device in FLEET] == [signed.wanted(device) for device in FLEET]
