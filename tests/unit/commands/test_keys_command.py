from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.connections import SigningKeys
from slipway.ledger.keys import ensure_keys
from slipway.ledger.trust import Trust


@pytest.fixture
def keys(tmp_path: Path) -> SigningKeys:
    return ensure_keys(SigningKeys.in_folder(tmp_path / "keys"))


def run(keys: SigningKeys, *arguments: str):
    return CliRunner().invoke(app, ["keys", *arguments, "--trust", keys.trust])


def test_the_keys_of_a_trust_file_are_listed_with_their_roles(keys):
    said = run(keys, "list")
    assert said.exit_code == 0
    for keyid, key in Trust.load(Path(keys.trust)).keys.items():
        assert any(keyid in line and key.role in line for line in said.stdout.splitlines())


def test_a_key_is_trusted_and_expired_by_hand(keys, tmp_path):
    other = ensure_keys(SigningKeys.in_folder(tmp_path / "other"))
    added = run(keys, "trust", "build", other.build)
    keyid = added.stdout.split()[0]
    assert (added.exit_code, keyid in Trust.load(Path(keys.trust)).keys) == (0, True)
    expired = run(keys, "expire", keyid[:8], "--at", "2026-03-01")
    assert (expired.exit_code, "expires 2026-03-01T00:00:00+00:00" in expired.stdout) == (0, True)


@pytest.mark.parametrize("arguments", [("trust", "build", "nowhere.pem"), ("expire", "beef", "--at", "2026-03-01")])
def test_what_is_not_there_ends_with_2(keys, arguments):
    assert run(keys, *arguments).exit_code == 2


def test_a_key_of_the_other_role_is_not_trusted_for_both(keys):
    said = run(keys, "trust", "approval", keys.build)
    assert (said.exit_code, "who builds must not be able to approve" in said.stderr) == (2, True)
