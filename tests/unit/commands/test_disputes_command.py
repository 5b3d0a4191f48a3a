"""``slipway ledger settle`` as people call it: what it lists, what it decides, and how it ends."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.embedded.local_settings import LocalSettings
from slipway.errors import DisputedError
from slipway.identity.digest import sha256_bytes
from tests.simulators.ledger import ledger_at, statement

FIRST = statement()
OTHER = statement(outputs={name: sha256_bytes(b"something else") for name in FIRST.outputs})


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    ledger = ledger_at(tmp_path)
    ledger.record(FIRST)
    with pytest.raises(DisputedError):
        ledger.record(OTHER)
    monkeypatch.setattr(LocalSettings, "load", lambda: SimpleNamespace(ledger=ledger.connection))
    return ledger


def settle(*arguments: str):
    return CliRunner().invoke(app, ["ledger", "settle", *arguments])


def test_what_was_stated_is_listed_and_one_of_it_can_be_kept(ledger):
    listed = settle(FIRST.fingerprint)
    assert listed.exit_code == 0 and "yes" not in listed.output
    assert FIRST.outputs_digest in listed.output and OTHER.outputs_digest in listed.output
    settled = settle(FIRST.fingerprint, "--keep", OTHER.outputs_digest[:12], "--reason", "bad memory")
    assert settled.exit_code == 0 and "1 other outputs are rejected" in settled.output
    assert ledger.find(FIRST.fingerprint).statement == OTHER and not ledger.find(FIRST.fingerprint).disputed
    (decision,) = ledger.statements("shop", "settle")
    assert decision.ingredients.parameters["reason"] == "bad memory"
    assert decision.execution.dag_id == "slipway ledger settle"
    (kept,) = [line for line in settle(FIRST.fingerprint).output.splitlines() if "yes" in line]
    assert OTHER.outputs_digest in kept


def test_without_a_reason_or_a_statement_nothing_is_decided(ledger):
    assert settle(FIRST.fingerprint, "--keep", OTHER.outputs_digest).exit_code == 2
    assert settle(FIRST.fingerprint, "--keep", "f" * 64, "--reason", "bad memory").exit_code == 1
    assert settle("f" * 64).exit_code == 1
    assert ledger.statements("shop", "settle") == []
