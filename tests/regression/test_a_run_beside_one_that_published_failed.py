"""A cleared run, or a second run of one partition, failed for good once the first had published and tidied up."""

import pytest

from slipway.connections import LakeConnection, SparkConnection
from slipway.errors import LakeNotFoundError, UnavailableError
from slipway.stages import spark as stage
from slipway.stages.landing import Landing
from tests.simulators.lake import LakeSimulator
from tests.simulators.ledger import step
from tests.unit.stages.test_ingest import REPO, Shop

CLOSED = SparkConnection(remote="sc://127.0.0.1:1/;token=secret")


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def features(shop: Shop, landing: Landing, connection: SparkConnection = CLOSED) -> None:
    credentials = LakeConnection("http://127.0.0.1:1", "key", "secret")
    places = {"root": shop.root, "connection": connection, "credentials": credentials}
    stage.make_features(shop.lake, shop.ledger, shop.pipeline, landing, **places, intents=step(shop.ledger))


def test_clearing_the_features_task_of_a_finished_run_asks_no_spark(shop):
    landing = shop.land()
    shop.make_features(landing)
    commit = shop.publish(landing)
    features(shop, landing)
    assert shop.publish(landing) == commit


def test_a_branch_that_is_gone_without_a_statement_is_not_taken_for_published(shop, monkeypatch):
    landing = shop.land()
    shop.lake.delete_branch(REPO, landing.branch)
    monkeypatch.setattr(stage, "CONNECT_SECONDS", 0.2)
    with pytest.raises(UnavailableError):
        features(shop, landing)
    with pytest.raises(LakeNotFoundError):
        shop.publish(landing)


class Overtaken(LakeSimulator):
    """A lake on which another run of the partition publishes just before ``step`` is taken on the run branch."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step, self.other_run = step, None

    def list(self, uri):
        self._overtake("list")
        return super().list(uri)

    def put(self, uri, data, content_type="application/octet-stream"):
        self._overtake("put")
        super().put(uri, data, content_type)

    def commit(self, repository, branch, message, metadata):
        self._overtake("commit")
        return super().commit(repository, branch, message, metadata)

    def uncommitted(self, repository, branch, prefix="", limit=1000):
        self._overtake("uncommitted")
        return super().uncommitted(repository, branch, prefix, limit)

    def _overtake(self, step):
        if step == self.step and self.other_run:
            other_run, self.other_run = self.other_run, None
            other_run()


@pytest.mark.parametrize("step", ["list", "put", "commit"])
def test_a_publication_overtaken_by_another_run_returns_the_others_commit(shop, step):
    shop.lake = Overtaken(step)
    shop.lake.ensure_repository(REPO)
    landing = shop.land()
    shop.make_features(landing)
    commits = []
    shop.lake.other_run = lambda: commits.append(shop.publish(landing))
    assert shop.publish(landing) == commits[0] == shop.main()


@pytest.mark.parametrize("step", ["put", "uncommitted"])
def test_a_landing_overtaken_by_another_run_finds_it_published(shop, step):
    shop.lake = Overtaken(step)
    shop.lake.ensure_repository(REPO)
    first = shop.land()
    shop.make_features(first)
    commits = []
    shop.lake.other_run = lambda: commits.append(shop.publish(first))
    landing = shop.land()
    assert landing.commit == commits[0]
    assert shop.lake.branches(REPO, "run-") == []


def test_a_job_whose_branch_another_run_published_is_done(shop, monkeypatch):
    landing = shop.land()
    shop.make_features(landing)
    monkeypatch.setattr(stage, "session", lambda connection, name: memory_session())
    monkeypatch.setattr(stage, "load_job", lambda path: overtaken_job(lambda: shop.publish(landing)))
    features(shop, landing)


def test_a_job_that_misses_something_else_still_says_so(shop, monkeypatch):
    landing = shop.land()
    monkeypatch.setattr(stage, "session", lambda connection, name: memory_session())
    monkeypatch.setattr(stage, "load_job", lambda path: overtaken_job(lambda: None))
    with pytest.raises(LakeNotFoundError):
        features(shop, landing)


def memory_session():
    from contextlib import nullcontext

    return nullcontext()


def overtaken_job(other_run):
    """A job during which another run does something, and which then misses what it reads."""

    class Job:
        INPUTS = ()
        transform = None

        @staticmethod
        def run(*_, **__):
            other_run()
            raise LakeNotFoundError("reading raw/sales: there is no such branch")

    return Job
