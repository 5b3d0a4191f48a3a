import datetime as dt
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.ledger.bundle import pack
from tests.simulators.chain import SIGNERS, TRUST, chain, signed
from tests.simulators.statements import NOON, statement

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    (tmp_path / "trust.json").write_bytes(TRUST.dumps())
    return tmp_path / "trust.json"


def verify(bundle: bytes | Path, trust: Path, *options: str):
    path = bundle if isinstance(bundle, Path) else trust.with_name("release.bundle.json")
    if isinstance(bundle, bytes):
        path.write_bytes(bundle)
    return CliRunner().invoke(app, ["verify", str(path), "--trust", str(trust), *options])


def test_a_verified_bundle_is_shown_as_a_tree_down_to_the_raw_data(trust):
    said = verify(pack(signed(chain(days=3))), trust)
    assert said.exit_code == 0, said.output
    lines = [line.lstrip("│├└─ ").split("  ")[:2] for line in said.stdout.splitlines()[1:]]
    assert lines == [
        ["release", "version 1"],
        ["register", "version 1"],
        ["compile", "x86-cpu .. x86-cpu-int8"],
        ["export", "run 1"],
        ["train", "run 1"],
        ["features", "2013-01-01 .. 2013-01-03"],
        ["ingest", "2013-01-01 .. 2013-01-03"],
    ]
    assert "(3 statements, 6 outputs, build key " in said.stdout


def test_an_earlier_release_of_the_version_is_shown_beside_the_newest(trust):
    made = chain()
    again = statement("release", "version 1", materials=made[-1].materials, round=2)
    said = verify(pack(signed([*made, again])), trust)
    assert (said.exit_code, said.stdout.count("also: release")) == (0, 1)


def test_every_statement_is_in_the_json_with_what_it_was_made_of(trust):
    said = verify(pack(signed(chain(days=2))), trust, "--json")
    found = json.loads(said.stdout)
    assert (said.exit_code, found["verified"], len(found["statements"])) == (0, True, 10)
    assert found["statements"][0]["stage"] == "release"
    roots = [one["stage"] for one in found["statements"] if not one["made_of"]]
    assert roots == ["ingest", "ingest"]


def test_the_first_broken_link_is_said_and_the_exit_status_is_1(trust):
    broken = pack(signed([one for one in chain() if one.stage != "export"]))
    said = verify(broken, trust)
    assert said.exit_code == 1
    assert "is NOT verified: missing link: material export/model.onnx" in said.stderr
    assert said.stdout == ""
    as_json = verify(broken, trust, "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["verified"]) == (1, False)
    assert "missing link" in json.loads(as_json.stdout)["broken"]


def test_what_is_no_bundle_is_not_verified(trust):
    said = verify(b"\x00\x01", trust)
    assert (said.exit_code, "unreadable bundle" in said.stderr) == (1, True)


def test_what_cannot_be_checked_ends_with_2_and_says_what_is_missing(trust, tmp_path):
    absent = verify(tmp_path / "nowhere.json", trust)
    assert (absent.exit_code, "expected a bundle at" in absent.stderr) == (2, True)
    folder = verify(tmp_path, trust)
    assert (folder.exit_code, "expected a bundle at" in folder.stderr) == (2, True)
    untrusted = verify(pack(signed(chain())), tmp_path / "no.json")
    assert (untrusted.exit_code, "expected a trust file" in untrusted.stderr) == (2, True)
    trust.write_text("{}")
    damaged = verify(pack(signed(chain())), trust)
    assert (damaged.exit_code, "expected a trust file" in damaged.stderr) == (2, True)


def test_how_a_release_ended_and_who_signed_what_is_said(trust):
    *made, last = chain()
    ends = [
        statement("release", "version 1", materials=last.materials, outcome=outcome, finished=NOON + at * HOUR)
        for at, outcome in enumerate(("rolled_back", "completed"))
    ]
    bundle = pack(signed([*made, *ends]))
    completed, *below, refused = verify(bundle, trust).stdout.splitlines()[1:]
    approval, build = (f"{role} key {SIGNERS[role].public_key.keyid[:12]}" for role in ("approval", "build"))
    assert completed.startswith("release  version 1  completed  (") and approval in completed
    assert "also: release  version 1  rolled back  (" in refused and approval in refused
    assert all(build in line and approval not in line for line in below)
    found = json.loads(verify(bundle, trust, "--json").stdout)["statements"]
    assert [one["outcome"] for one in found if one["stage"] == "release"] == ["completed", "rolled_back"]
    for one in found:
        role = "approval" if one["stage"] == "release" else "build"
        assert one["key"] == {"id": SIGNERS[role].public_key.keyid, "role": role}
        assert one["stage"] == "release" or one["outcome"] is None
