"""Bundles of every format Slipway ever wrote; they are never written again (``tests.golden.make`` refuses to)."""

import hashlib
import json
from pathlib import Path

import pytest

from slipway.errors import EvidenceError
from slipway.ledger.bundle import check, read
from slipway.ledger.trust import Trust
from tests.golden.make import make

FOLDER = Path(__file__).parents[2] / "golden" / "bundles"
KEPT = {
    "v1-release": "770944c3c5cc1dcc2be6b413b469bece6a5a04c2730bd5f2b93d8583b0a08c9c",
}
"""Name -> sha256 of the bundle: an old bundle that was written again would prove nothing."""


def parts(name):
    return FOLDER / f"{name}.json", Trust.load(FOLDER / f"{name}.trust.json")


@pytest.mark.parametrize("name", KEPT)
def test_a_bundle_of_any_age_verifies(name):
    bundle, trust = parts(name)
    assert hashlib.sha256(bundle.read_bytes()).hexdigest() == KEPT[name]
    found = check(read(bundle.read_bytes()), trust)
    assert [one.stage for one in found.statements].count("features") == 2
    assert found.statements[0].stage == "release"
    assert found.statements[0].details["metrics"] == {"auc": 0.71}


@pytest.mark.parametrize("name", KEPT)
def test_no_statement_of_an_old_bundle_can_be_left_out(name):
    bundle, trust = parts(name)
    envelopes = read(bundle.read_bytes())
    for lost in range(1, len(envelopes)):
        with pytest.raises(EvidenceError, match="missing link"):
            check([one for number, one in enumerate(envelopes) if number != lost], trust)


def test_every_bundle_in_the_folder_is_held_to_this():
    assert {path.name.removesuffix(".json") for path in FOLDER.glob("v*.json") if ".trust" not in path.name} == set(
        KEPT
    )


def test_an_old_bundle_cannot_be_written_again():
    before = (FOLDER / "v1-release.json").read_bytes()
    with pytest.raises(FileExistsError):
        make("v1-release")
    assert (FOLDER / "v1-release.json").read_bytes() == before
    assert json.loads(before)["mediaType"] == "application/vnd.slipway.bundle.v1+json"
