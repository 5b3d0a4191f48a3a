"""A worker killed between deleting the run branch and reporting success made every retry of ``publish`` fail."""

from tests.unit.stages.test_ingest import Shop


def test_a_retry_finds_what_the_killed_try_published(tmp_path, monkeypatch):
    shop = Shop(tmp_path, monkeypatch)
    landing = shop.land()
    shop.make_features(landing)
    commit = shop.publish(landing)
    assert shop.lake.branches("shop", "run-") == []
    assert shop.publish(landing) == commit
