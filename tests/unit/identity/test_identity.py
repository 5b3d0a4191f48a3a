import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import ConfigurationError
from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes, sha256_file
from slipway.identity.fingerprint import Ingredients

EXAMPLE = Ingredients(
    stage="features",
    pipeline="flight_delay",
    code={"spark_jobs/flight_features.py": "aa"},
    parameters={"partition": "2013-01-01", "rate": 0.5},
    inputs={"raw/flights": "bb"},
    environment="cc",
    hardware="x86_64-cpu",
    seed=7,
)


def test_the_canonical_form_is_rfc_8785s():
    assert canonical_json({"b": 1.0, "a": ["é", None, 1e21]}) == '{"a":["é",null,1e+21],"b":1}'.encode()


def test_what_json_cannot_carry_exactly_is_refused():
    with pytest.raises(ConfigurationError, match="finite numbers"):
        canonical_json({"loss": float("nan")})


@given(st.dictionaries(st.text(), st.integers(-1000, 1000)))
def test_the_order_of_keys_never_changes_the_bytes(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


def test_a_fingerprint_never_changes_silently():
    # Golden: changing it invalidates every statement ever recorded.
    assert EXAMPLE.fingerprint() == "d606c102006390c97230656eea59632dba749070ad46d0f864b3bdb052a822fd"


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "train"},
        {"pipeline": "digit_reader"},
        {"code": {"spark_jobs/flight_features.py": "ab"}},
        {"parameters": {"partition": "2013-01-01", "rate": 0.25}},
        {"inputs": {"raw/flights": "bc"}},
        {"environment": "cd"},
        {"hardware": "nvidia.com/gpu=1"},
        {"seed": 8},
    ],
)
def test_every_ingredient_changes_the_fingerprint(change):
    assert dataclasses.replace(EXAMPLE, **change).fingerprint() != EXAMPLE.fingerprint()


def test_a_file_has_the_digest_of_its_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"slipway")
    assert sha256_file(path) == sha256_bytes(b"slipway")
