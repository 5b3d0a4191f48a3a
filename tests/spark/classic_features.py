"""The features step on a classic master; run by ``test_classic_master.py`` in a process of its own.

The environment names no lakeFS server: what Spark knows of it, it was given. Arguments: the server's endpoint and keys,
a repository, and a folder for the ledger. Prints the names of the files it made.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

from slipway.connections import Fields, LakeConnection, spark_connection
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import load_pipeline
from slipway.settings import settings
from slipway.stages.ingest import land
from slipway.stages.landing import features_prefix
from slipway.stages.spark import make_features
from tests.simulators.ledger import ledger_at, step


def main(endpoint: str, access_key: str, secret_key: str, repository: str, folder: str) -> None:
    root = settings().root
    pipeline = load_pipeline(settings().pipelines / "digit_reader.yaml").model_copy(update={"repository": repository})
    server = LakeConnection(endpoint, access_key, secret_key)
    lake, ledger = Lake(server), ledger_at(Path(folder))
    landing = land(lake, ledger, pipeline, dt.date(2013, 1, 1), root=root)
    spark = spark_connection(Fields("spark_default", "spark", host="local[1]"))
    places = {"root": root, "connection": spark, "credentials": lambda: server}
    make_features(lake, ledger, pipeline, landing, **places, intents=step(ledger))
    made = lake.list(LakeUri(repository, landing.branch, features_prefix(landing.partition)))
    print("made", *[found.path for found in made])


if __name__ == "__main__":
    main(*sys.argv[1:])
