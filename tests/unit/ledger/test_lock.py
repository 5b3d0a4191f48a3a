from __future__ import annotations

import threading

import pytest

from slipway.connections import LedgerConnection
from slipway.errors import UnavailableError
from slipway.ledger.lock import exclusive, file_lock


def test_one_holder_at_a_time(tmp_path):
    inside, most = 0, 0
    guard = threading.Lock()

    def work():
        nonlocal inside, most
        for _ in range(5):
            with file_lock("key", tmp_path):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_lock_held_too_long_is_reported_as_unavailable(tmp_path):
    busy = file_lock("key", tmp_path, wait_seconds=0.0)
    with file_lock("key", tmp_path), pytest.raises(UnavailableError, match="others hold it"), busy:
        pass


def test_different_keys_do_not_wait_for_each_other(tmp_path):
    with file_lock("a", tmp_path), file_lock("b", tmp_path, wait_seconds=0.0):
        pass


def test_an_error_inside_frees_the_lock(tmp_path):
    with pytest.raises(KeyError), file_lock("key", tmp_path):
        raise KeyError
    with file_lock("key", tmp_path, wait_seconds=0.0):
        pass


def test_a_ledger_without_advisory_locks_means_a_file(tmp_path):
    with exclusive("key", LedgerConnection(f"sqlite:///{tmp_path}/ledger.db"), tmp_path / "locks"):
        assert (tmp_path / "locks" / "key.lock").exists()


def test_a_postgresql_that_does_not_answer_is_reported_as_unavailable(tmp_path):
    ledger = LedgerConnection("postgresql+psycopg2://slipway:secret@127.0.0.1:9/ledger")
    with pytest.raises(UnavailableError, match="ledger's database") as caught, exclusive("key", ledger, tmp_path):
        pass
    assert "secret" not in str(caught.value)
