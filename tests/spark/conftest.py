"""One local Spark session and one lakeFS-protocol server for all Spark tests."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from slipway.connections import LakeConnection
from slipway.lake.client import Lake
from slipway.lake.datasource import LakeFSDataSource
from tests.contract.lake.server import running_server

INCLUDE = Path(__file__).resolve().parents[2] / "include"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def lake_connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeConnection]:
    with running_server(tmp_path_factory.mktemp("lakefs")) as connection:
        yield connection


@pytest.fixture(scope="session")
def lakefs_environment(lake_connection: LakeConnection) -> Iterator[dict[str, str]]:
    """What Spark's Python workers inherit: where the package is, and the lake's credentials."""
    environment = {
        "PYTHONPATH": str(INCLUDE),
        # The launcher of `make up`: workers are forked with their imports done (docs/adr/0002).
        "PYSPARK_PYTHON": str(INCLUDE / "slipway" / "lake" / "spark-python"),
        "SLIPWAY_PYTHON": sys.executable,
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "LAKECTL_SERVER_ENDPOINT_URL": lake_connection.endpoint,
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": lake_connection.access_key,
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": lake_connection.secret_key,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield dict(os.environ)


@pytest.fixture(scope="session")
def spark(lakefs_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    session = (
        SparkSession.builder.master("local[2]")
        .appName("slipway-tests")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .getOrCreate()
    )
    session.dataSource.register(LakeFSDataSource)
    yield session
    session.stop()


@pytest.fixture
def lake(lake_connection: LakeConnection) -> Lake:
    return Lake(lake_connection)


@pytest.fixture
def repository(lake: Lake) -> str:
    """A fresh repository with the run branch ``run``."""
    name = f"spark-{next(_numbers)}"
    lake.ensure_repository(name)
    lake.create_branch(name, "run", "main")
    return name
