"""A day made again because it is disputed, or gone from main, replaced what was there and failed afterwards."""

import pytest

from slipway.errors import DisputedError
from slipway.lake.uri import LakeUri
from tests.unit.stages.test_ingest import DAY, REPO, Shop

FEATURES = f"features/date={DAY}/part-00000.parquet"
OTHER = {"id": [1, 2, 3], "price": [2.5, 9.5, 4.5]}


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def made(shop: Shop, rows: dict | None = None, **more) -> str:
    landing = shop.land(**more)
    shop.make_features(landing, rows)
    return shop.publish(landing)


def test_a_disputed_day_stays_as_it_was_published_whatever_is_made_of_it(shop):
    first = made(shop)
    with pytest.raises(DisputedError):
        made(shop, OTHER, force=True)
    assert shop.land().reuse["outcome"] == "miss"
    with pytest.raises(DisputedError):
        made(shop, OTHER)
    assert shop.main() == first
    made(shop)  # as it was at first, which contradicts nothing
    assert shop.main() == first


def test_features_that_are_gone_from_main_come_back_as_they_were_or_not_at_all(shop):
    made(shop)
    shop.lake.create_branch(REPO, "oops", "main")
    shop.lake.delete(LakeUri(REPO, "oops", FEATURES))
    shop.lake.commit(REPO, "oops", "deleted by hand", {})
    without = shop.lake.merge(REPO, "oops", "main", "deleted by hand", {})
    with pytest.raises(DisputedError, match="expected equal fingerprints to give equal outputs"):
        made(shop, OTHER)
    assert shop.main() == without
