import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import ConfigurationError
from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes, sha256_file

RFC_8785 = json.loads((Path(__file__).parents[2] / "golden/fingerprints.json").read_text())["rfc8785"]


@pytest.mark.parametrize("document", RFC_8785["documents"], ids=lambda document: document["section"])
def test_the_rfcs_documents_are_written_as_the_rfc_writes_them(document):
    assert canonical_json(json.loads(document["json"])) == document["canonical"].encode()


@pytest.mark.parametrize(("ieee", "text"), RFC_8785["appendix_b"].items())
def test_the_rfcs_numbers_are_written_as_the_rfc_writes_them(ieee, text):
    (number,) = struct.unpack(">d", bytes.fromhex(ieee))
    assert canonical_json(number) == text.encode()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(float("nan"), id="NaN"),
        pytest.param(float("inf"), id="infinity"),
        pytest.param(2**53, id="an inexact integer"),
        pytest.param(10**5000, id="an integer Python does not print"),
        pytest.param({1: 1}, id="a key that is no string"),
        pytest.param({"\ud800": 1}, id="a lone surrogate in a key"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param({"a", "b"}, id="a set"),
        pytest.param(object(), id="an object"),
    ],
)
def test_what_json_cannot_carry_exactly_is_refused(value):
    with pytest.raises(ConfigurationError, match="finite numbers"):
        canonical_json({"loss": value})


@given(st.dictionaries(st.text(), st.integers(-1000, 1000)))
def test_the_order_of_keys_never_changes_the_bytes(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value(number):
    assert float(canonical_json(number)) == number


def test_the_seed_of_hashes_never_changes_the_bytes():
    script = "from slipway.identity.canonical import canonical_json as c; print(c({k: 1 for k in set('abcdefgh')}))"
    path = ":".join(sys.path)
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "012"
    }
    assert len(answers) == 1


def test_a_file_has_the_digest_of_its_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"slipway")
    assert sha256_file(path) == sha256_bytes(b"slipway")
