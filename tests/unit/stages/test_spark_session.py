import datetime as dt
import os
import shutil
import subprocess
import sys
import uuid

import pyspark
import pytest

from slipway.errors import ConfigurationError
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from slipway.stages.landing import SPARK, ingredients_of
from slipway.stages.spark import require_own_version, shared_session, worker_code
from tests.simulators.spark_connect import SparkConnectSimulator

DAY, CODE = dt.date(2013, 1, 1), "c0de"


def test_every_task_of_a_day_asks_for_the_same_session():
    assert shared_session(DAY, CODE) == shared_session(dt.date(2013, 1, 1), CODE)


def test_another_day_has_a_session_of_its_own():
    assert len({shared_session(DAY + dt.timedelta(days=n), CODE) for n in range(60)}) == 60


def test_its_name_is_what_spark_connect_takes():
    # pyspark's ChannelBuilder refuses a session_id that is not a UUID in its usual writing.
    assert str(uuid.UUID(shared_session(DAY, CODE))) == shared_session(DAY, CODE)


def test_code_that_sparks_workers_keep_loaded_gives_a_new_session_once_it_is_edited(tmp_path):
    shutil.copytree(settings().root / "include" / "slipway" / "lake", tmp_path / "include" / "slipway" / "lake")
    before = worker_code(tmp_path)
    source = tmp_path / "include" / "slipway" / "lake" / "parquet_format.py"
    source.write_text(source.read_text() + "\n# mended\n")
    after = worker_code(tmp_path)
    assert shared_session(DAY, before) != shared_session(DAY, after)


ASKS = """
import sys
from slipway.connections import SparkConnection
from slipway.stages.spark import session
with session(SparkConnection(remote=sys.argv[1]), sys.argv[2]) as spark:
    print("granted by", spark.version)
"""


def granted(server: SparkConnectSimulator) -> subprocess.CompletedProcess:
    """A process that asks for the day's session; one can hold a classic session or a Connect one, not both."""
    environment = {**os.environ, "PYTHONPATH": str(settings().root / "include")}
    with server.served() as url:
        return subprocess.run(
            [sys.executable, "-c", ASKS, url, shared_session(DAY, CODE)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def test_a_session_is_set_to_what_the_fingerprint_of_features_says_whatever_its_servers_defaults():
    server = SparkConnectSimulator(pyspark.__version__)
    done = granted(server)
    assert f"granted by {pyspark.__version__}" in done.stdout, done.stderr
    assert server.settings == {shared_session(DAY, CODE): SPARK}
    pipeline = find_pipeline(settings().pipelines, "digit_reader")
    assert ingredients_of(pipeline, str(DAY), {}, settings().root).parameters["spark"] == SPARK


def test_a_server_of_another_version_is_refused_and_both_versions_are_named():
    done = granted(SparkConnectSimulator("3.5.1"))
    assert f"ConfigurationError: expected Spark {pyspark.__version__}" in done.stderr
    assert "it is Spark 3.5.1" in done.stderr and "granted" not in done.stdout


def test_a_servers_patch_release_may_be_another():
    major, minor, *_ = pyspark.__version__.split(".")
    require_own_version(f"{major}.{minor}.99-vendor")
    with pytest.raises(ConfigurationError, match="install the same version on both sides"):
        require_own_version(f"{major}.{minor}9.0")
