"""A run that died for good after its features were on main left them without an asset event; later runs were hits."""

import pytest

from slipway.lake.uri import LakeUri
from slipway.settings import settings
from slipway.stages.arrival import arrival
from tests.simulators.death import Death, Killed
from tests.unit.stages.test_ingest import DAY, REPO, Shop


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def died_before_its_branch_went(shop: Shop) -> str:
    """Publish a day up to the last step; returns the commit of main."""
    landing, lake = shop.land(), shop.lake
    shop.make_features(landing)
    shop.lake = Death(0).watch(lake, "delete_branch")
    with pytest.raises(Killed):
        shop.publish(landing)
    shop.lake = lake
    return shop.main()


def decided(shop: Shop):
    return arrival(shop.lake, shop.ledger, shop.pipeline, DAY, root=settings().root).reuse


def test_the_next_run_gets_a_worker_which_makes_nothing_and_ends_what_was_left(shop):
    commit = died_before_its_branch_went(shop)
    reuse = decided(shop)
    assert not reuse.hit and reuse.reasons[0].startswith("published, but its run did not finish: its branch run-shop-")
    landing = shop.land()
    assert (landing.raw, landing.commit) == (None, commit)  # With no raw commit no job is run.
    assert shop.publish(landing) == commit == shop.main()
    assert shop.lake.branches(REPO) == ["main"]
    assert decided(shop).hit


def test_a_forced_run_that_is_under_way_keeps_its_branch_and_the_day_is_a_hit(shop):
    landing = shop.land()
    shop.make_features(landing)
    commit = shop.publish(landing)
    forced = shop.land(force=True)
    shop.lake.put(LakeUri(REPO, forced.branch, f"features/date={DAY}/part-00000.parquet"), b"half of its features")
    assert decided(shop).hit
    assert shop.publish(shop.land()) == commit
    assert shop.lake.branches(REPO, "run-") == [forced.branch]
