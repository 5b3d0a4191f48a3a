"""A Spark Connect server that was away held every features task for ten minutes, and ended it with gRPC's own words."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway.connections import Fields, LakeConnection, spark_connection
from slipway.errors import UnavailableError
from slipway.settings import settings
from slipway.stages.spark import make_features
from tests.simulators.ledger import step
from tests.unit.stages.test_ingest import Shop

AWAY = spark_connection(Fields("spark_default", "spark_connect", host="localhost", port=1, password="spark-token"))

LOST = """
from pyspark.sql import SparkSession
from pyspark.sql.connect.client.retries import DefaultPolicy
import job
from slipway.errors import UnavailableError
spark = SparkSession.builder.remote("sc://localhost:1/;token=spark-token").getOrCreate()
spark.client.set_retry_policies([DefaultPolicy(max_retries=1)])
try:
    place = {"source": "lakefs://shop/run", "output": "lakefs://shop/run/features", "partition": "2013-01-01"}
    job.run(spark, lambda tables, partition: tables["sales"], ["sales"], **place)
except UnavailableError as error:
    print("UnavailableError", error, error.retryable)
"""


def test_it_is_named_within_seconds_without_its_token_and_may_be_tried_again(tmp_path, monkeypatch):
    shop = Shop(tmp_path, monkeypatch)
    landing = shop.land()
    credentials = LakeConnection("http://127.0.0.1:1", "key", "secret")
    places = {"root": shop.root, "connection": AWAY, "credentials": credentials, "intents": step(shop.ledger)}
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=r"answer at localhost:1 \(connection spark_default\)") as caught:
        make_features(shop.lake, shop.ledger, shop.pipeline, landing, **places)
    assert time.monotonic() - start < 20
    assert caught.value.retryable
    assert "spark-token" not in str(caught.value) and "make status" in str(caught.value)


def test_one_that_goes_away_during_the_job_is_said_to_in_slipways_words():
    # A process can hold a classic session or a Connect one, not both: this one may hold a classic one.
    root = settings().root
    path = os.pathsep.join(str(root / name) for name in ("include", "spark_jobs"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", LOST], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "UnavailableError expected Spark to stay until the job's end" in done.stdout, done.stderr
    assert done.stdout.strip().endswith("True")
    assert "spark-token" not in done.stdout + done.stderr
