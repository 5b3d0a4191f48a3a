"""A file beside a day's features, which training reads, or a raw table that was gone, left the day a hit."""

import pytest

from slipway.errors import ContractError
from slipway.lake.uri import LakeUri
from tests.unit.stages.test_ingest import DAY, REPO, Shop

RAW = f"raw/sales/date={DAY}/part-00000.parquet"
BESIDE_RAW = f"raw/sales/date={DAY}/part-00001.parquet"
BESIDE_FEATURES = f"features/date={DAY}/part-00001.parquet"


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def made(shop: Shop) -> str:
    landing = shop.land()
    shop.make_features(landing)
    return shop.publish(landing)


def by_hand(shop: Shop, path: str, data: bytes | None) -> None:
    """Put an object on main past every check, or delete it there."""
    shop.lake.create_branch(REPO, "oops", "main")
    place = LakeUri(REPO, "oops", path)
    shop.lake.delete(place) if data is None else shop.lake.put(place, data)
    shop.lake.commit(REPO, "oops", "by hand", {})
    shop.lake.merge(REPO, "oops", "main", "by hand", {})
    shop.lake.delete_branch(REPO, "oops")


@pytest.mark.parametrize(("path", "data"), [(BESIDE_FEATURES, b"more"), (RAW, None), (RAW, b"other rows")])
def test_it_is_made_again_and_the_reason_names_the_object(shop, path, data):
    made(shop)
    assert shop.land().reuse["outcome"] == "hit"
    by_hand(shop, path, data)
    again = shop.land()
    assert again.commit is None and again.reuse["outcome"] == "miss"
    assert again.reuse["reasons"] == [f"made before, but {path} is not as it was made"]


def test_a_raw_table_that_is_gone_is_landed_again(shop):
    made(shop)
    by_hand(shop, RAW, None)
    made(shop)
    assert shop.lake.exists(LakeUri(REPO, "main", RAW)) and shop.land().reuse["outcome"] == "hit"


def test_what_lies_beside_a_raw_table_on_main_is_not_read_by_the_job_and_goes(shop):
    made(shop)
    by_hand(shop, BESIDE_RAW, b"rows no statement names")
    by_hand(shop, RAW, None)
    landing = shop.land()
    folder = LakeUri(REPO, landing.raw, f"raw/sales/date={DAY}")
    assert [found.path for found in shop.lake.list(folder)] == [RAW]
    shop.make_features(landing)
    shop.publish(landing)
    assert not shop.lake.exists(LakeUri(REPO, "main", BESIDE_RAW))


def test_what_is_put_beside_a_landed_raw_table_does_not_reach_main(shop):
    landing = shop.land()
    shop.make_features(landing)
    shop.lake.put(LakeUri(REPO, landing.branch, BESIDE_RAW), shop.lake.get(shop.uri(landing)))
    with pytest.raises(ContractError, match="sales did not pass"):
        shop.publish(landing)
