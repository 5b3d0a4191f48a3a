"""Fifty backfills that end at once: each merges into ``main``, and none fails."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway.errors import UnavailableError
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.ledger.effects import Effect, Effects, Origin
from slipway.ledger.lock import advisory_lock
from slipway.stages.recorded import recorded_lake
from tests.contract.lake.server import running_server
from tests.integration.ledger import postgresql_ledger

REPO = "backfills"
ROOT = Path(__file__).resolve().parents[2]
BACKFILLS = 50


@pytest.fixture(scope="module")
def ledger():
    with postgresql_ledger() as connection:
        yield connection


def origin(number: int) -> Origin:
    return Origin("flight_delay", "ingest", "flight_delay.ingest", f"run-{number}", "publish")


def test_fifty_runs_merge_into_one_branch_at_once(ledger, tmp_path):
    effects, together = Effects(ledger), threading.Barrier(BACKFILLS, timeout=60)
    with running_server(tmp_path) as connection:
        lake = Lake(connection)
        lake.ensure_repository(REPO)
        for number in range(BACKFILLS):
            lake.create_branch(REPO, f"run-{number}", "main")
            lake.put(LakeUri(REPO, f"run-{number}", f"features/date={number}/part"), b"%d" % number)
            lake.commit(REPO, f"run-{number}", f"day {number}", {})

        def backfill(number: int) -> str:
            with effects.intents(origin(number)) as intents:
                watched = recorded_lake(lake, intents, tmp_path)
                together.wait()
                return watched.merge(REPO, f"run-{number}", "main", f"day {number}", {})

        with ThreadPoolExecutor(BACKFILLS) as threads:
            merges = list(threads.map(backfill, range(BACKFILLS)))
        made = [commit.id for commit in lake.log(REPO, "main", 1000) if len(commit.parents) == 2]
        assert sorted(merges) == sorted(made) and len(set(made)) == BACKFILLS
        assert len(lake.list(LakeUri(REPO, "main", "features"))) == BACKFILLS
    records = [record for record in effects.records() if record.effect.kind == "merge"]
    assert {record.outcome for record in records} == set(made)
    assert {(record.state, record.attempts) for record in records} == {("done", 1)}


def test_a_branch_that_others_merge_into_for_too_long_is_said_to_be_busy(ledger):
    began = time.monotonic()
    with advisory_lock("merge into lakefs://r/main", ledger):
        busy = advisory_lock("merge into lakefs://r/main", ledger, wait_seconds=0.3)
        with (
            pytest.raises(UnavailableError, match=r"merge into lakefs://r/main.*within 0.3 s, but others") as caught,
            busy,
        ):
            pass
    assert caught.value.retryable and 0.3 <= time.monotonic() - began < 5
    with advisory_lock("merge into lakefs://r/main", ledger, wait_seconds=0.3):
        pass


HOLDER = """
import sys, time
from slipway.connections import LedgerConnection
from slipway.ledger.lock import advisory_lock
with advisory_lock("held", LedgerConnection(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_holds_nothing(ledger):
    command = [sys.executable, "-c", HOLDER, ledger.url]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "include")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGKILL)
    with advisory_lock("held", ledger, wait_seconds=10):
        pass


def test_steps_that_open_the_same_effects_in_any_order_do_not_wait_for_each_other(ledger):
    effects = Effects(ledger)
    given = [Effect("tag", f"same-{number}", "t") for number in range(8)]
    together = threading.Barrier(8, timeout=60)

    def step(number: int) -> None:
        together.wait()
        for _ in range(5):
            with effects.intents(origin(number)) as intents:
                mixed = given[number:] + given[:number]
                intents.open(*mixed)
                for effect in mixed:
                    intents.done(effect, f"{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(step, range(8)))
    found = [record for record in effects.records() if record.effect in given]
    assert [record.state for record in found] == ["done"] * 8
