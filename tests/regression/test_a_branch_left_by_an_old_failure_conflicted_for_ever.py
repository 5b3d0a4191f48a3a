"""A run branch left by a failure was adopted although other work had published the partition since: no way out."""

import pytest

from slipway.errors import ContractError, LakeConflictError
from slipway.lake.uri import LakeUri
from tests.unit.stages.test_ingest import REPO, Shop

GOOD, OTHER = ["1,2.5", "2,3.5", "3,4.5"], ["1,2.5", "2,9.5", "3,4.5"]


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def publish_other(shop: Shop) -> str:
    """Another fingerprint of the same day reaches ``main``."""
    shop.deliver("id,price", OTHER)
    landing = shop.land()
    shop.make_features(landing, {"id": [1, 2, 3], "price": [2.5, 9.5, 4.5]})
    commit = shop.publish(landing)
    shop.deliver("id,price", GOOD)
    return commit


@pytest.mark.parametrize("force", [False, True])
def test_landing_again_begins_the_branch_afresh_and_publishes(shop, force):
    failed = shop.land()
    shop.make_features(failed, {"id": [1, 1, 2], "price": [2.5, 3.5, 400.0]})
    with pytest.raises(ContractError):
        shop.publish(failed)
    publish_other(shop)
    again = shop.land(force=force)
    assert again.branch == failed.branch
    assert shop.lake.list(LakeUri(REPO, again.branch, "_quality/features/")) == shop.lake.list(
        LakeUri(REPO, "main", "_quality/features/")
    )
    shop.make_features(again)
    assert shop.publish(again) == shop.main()


def test_a_conflict_met_while_publishing_is_left_behind_by_landing_again(shop):
    landing = shop.land()
    shop.make_features(landing)
    publish_other(shop)
    with pytest.raises(LakeConflictError, match="run the partition again from its first task"):
        shop.publish(landing)
    again = shop.land()
    shop.make_features(again)
    assert shop.publish(again) == shop.main()


def test_a_branch_is_adopted_while_main_has_nothing_new_of_its_partition(shop):
    landing = shop.land()
    shop.make_features(landing)
    shop.lake.create_branch(REPO, "other-day", "main")
    shop.lake.put(LakeUri(REPO, "other-day", "features/date=2013-01-02/part-00000.parquet"), b"another day")
    shop.lake.commit(REPO, "other-day", "another day", {})
    shop.lake.merge(REPO, "other-day", "main", "another day", {})
    assert shop.land() == landing
    assert shop.lake.exists(shop.uri(landing))


def test_a_branch_whose_merge_was_made_but_not_recorded_is_adopted_and_its_merge_found(shop, monkeypatch):
    landing = shop.land()
    shop.make_features(landing)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shop.ledger, "record", killed)
        shop.publish(landing)
    merged = shop.main()
    again = shop.land()
    shop.make_features(again)
    assert shop.publish(again) == merged


def test_a_branch_kept_for_inspection_stays_while_only_other_work_is_landed(shop):
    failed = shop.land()
    shop.make_features(failed, {"id": [1, 1, 2], "price": [2.5, 3.5, 400.0]})
    with pytest.raises(ContractError):
        shop.publish(failed)
    publish_other(shop)
    assert shop.lake.branches(REPO, "run-") == [failed.branch]
    assert shop.report("features")["outcome"] == "fail"
