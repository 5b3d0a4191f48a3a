"""Editing a job and clearing the failed task published what the new code made as made by the old code."""

import dataclasses
import shutil

import pytest

from slipway.connections import LakeConnection, SparkConnection
from slipway.errors import ConfigurationError
from slipway.settings import settings
from slipway.stages.spark import make_features
from tests.simulators.ledger import step
from tests.unit.stages.test_ingest import Shop

SPARK = SparkConnection(remote="sc://127.0.0.1:1/;token=secret")


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    """A shop with a checkout of its own, whose jobs may be edited."""
    shop, root = Shop(tmp_path, monkeypatch), tmp_path / "checkout"
    root.mkdir()
    shutil.copytree(settings().root / "spark_jobs", root / "spark_jobs")
    shutil.copy(settings().root / "requirements.lock", root)
    (root / "include").symlink_to(settings().root / "include")
    shop.root = root
    return shop


def edit(shop: Shop, job: str = "digit_features") -> None:
    path = shop.root / "spark_jobs" / f"{job}.py"
    path.write_text(path.read_text() + "\n# mended\n")


def features(shop: Shop, landing) -> None:
    credentials = LakeConnection("http://127.0.0.1:1", "key", "secret")
    places = {"root": shop.root, "connection": SPARK, "credentials": credentials}
    make_features(shop.lake, shop.ledger, shop.pipeline, landing, **places, intents=step(shop.ledger))


@pytest.mark.parametrize("job", ["digit_features", "job"])
def test_features_are_not_made_by_other_code_than_was_landed(shop, job):
    landing = shop.land()
    edit(shop, job)
    with pytest.raises(
        ConfigurationError, match=rf"changed since: spark_jobs/{job}\.py; .*clear the run from `features`"
    ):
        features(shop, landing)


def test_features_are_not_published_after_an_edit_and_main_is_unchanged(shop):
    landing = shop.land()
    shop.make_features(landing)
    before = shop.main()
    edit(shop)
    with pytest.raises(ConfigurationError, match=r"spark_jobs/digit_features\.py"):
        shop.publish(landing)
    assert shop.main() == before and shop.ledger.find(landing.fingerprint) is None


def test_features_are_not_judged_by_another_contract_than_was_landed(shop):
    landing = shop.land()
    shop.make_features(landing, {"id": [1, 2, 3], "price": [2.5, 3.5, 400.0]})
    contract = shop.pipeline.features.contract.model_copy(update={"min_rows": 1})
    changed = shop.pipeline.features.model_copy(update={"contract": contract})
    shop.pipeline = shop.pipeline.model_copy(update={"features": changed})
    with pytest.raises(ConfigurationError, match=r"the contracts of shop\.yaml"):
        shop.publish(landing)


def test_landing_again_publishes_with_the_digest_of_the_edited_code(shop):
    landing = shop.land()
    edit(shop)
    again = shop.land()
    shop.make_features(again)
    commit = shop.publish(again)
    assert again.code != landing.code
    assert shop.lake.commit_info("shop", commit).metadata["slipway.code"] == again.code


def test_an_edit_after_publishing_changes_nothing(shop):
    landing = shop.land()
    shop.make_features(landing)
    commit = shop.publish(landing)
    edit(shop)
    features(shop, landing)
    features(shop, dataclasses.replace(landing, commit=commit))
    assert shop.publish(landing) == commit
