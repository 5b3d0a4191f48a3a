"""One suite, two lakes: the simulator and the project's own server through the real client."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from slipway.connections import LakeConnection
from slipway.lake.client import Lake
from tests.contract.lake.server import running_server
from tests.simulators.lake import LakeSimulator

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def lake_connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeConnection]:
    with running_server(tmp_path_factory.mktemp("lakefs")) as connection:
        yield connection


@pytest.fixture(scope="session")
def server_lake(lake_connection: LakeConnection) -> Lake:
    return Lake(lake_connection)


@pytest.fixture(params=["simulator", "server"])
def lake(request: pytest.FixtureRequest) -> Any:
    return LakeSimulator() if request.param == "simulator" else request.getfixturevalue("server_lake")


@pytest.fixture
def repository(lake: Any) -> str:
    name = f"lake-{next(_numbers)}"
    lake.ensure_repository(name)
    return name
