"""A retry that landed again committed what a killed Spark job had linked by then, under the name of raw tables."""

import pytest

from slipway.errors import LakeNotFoundError
from slipway.lake.uri import LakeUri
from tests.unit.stages.test_ingest import REPO, Shop


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def committed(shop: Shop, landing) -> list[str]:
    """Paths of the run branch's committed head."""
    head = shop.lake.resolve(REPO, landing.branch)
    return [item.path for item in shop.lake.list(LakeUri(REPO, head, ""))]


def test_landing_again_commits_no_features_and_leaves_them_to_a_twin_that_may_still_link_them(shop):
    landing = shop.land()
    shop.make_features(landing)
    assert shop.land() == landing
    assert not [path for path in committed(shop, landing) if path.startswith("features/")]
    assert shop.lake.exists(shop.uri(landing))


def test_features_staged_before_the_raw_tables_were_committed_go(shop, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shop.lake, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.land()
    (branch,) = shop.lake.branches(REPO, "run-")
    left = LakeUri(REPO, branch, "features/date=2013-01-01/part-00000.parquet")
    shop.lake.put(left, b"half")
    landing = shop.land()
    assert not [path for path in committed(shop, landing) if path.startswith("features/")]
    with pytest.raises(LakeNotFoundError):
        shop.lake.get(left)
