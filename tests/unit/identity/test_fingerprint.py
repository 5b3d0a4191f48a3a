import dataclasses
import json
import re
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given

from slipway.errors import ConfigurationError
from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes
from slipway.identity.fingerprint import FORMAT, Ingredients
from slipway.settings import settings
from tests.unit.identity.ingredients import ANY, EXAMPLE

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/fingerprints.json").read_text())["fingerprints"]


# Golden: changing one of these invalidates every statement ever recorded. Another form needs another FORMAT, and the
# old form's values stay beside the new ones.
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["name"])
def test_a_fingerprint_never_changes_silently(golden):
    ingredients = Ingredients.from_dict(golden["ingredients"])
    assert ingredients.canonical().decode() == golden["canonical"]
    assert ingredients.fingerprint() == golden["fingerprint"]


def test_the_example_of_the_documentation_is_right():
    text = (settings().root / "docs/fingerprints.md").read_text()
    shown, canonical = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)
    ingredients = Ingredients.from_dict(json.loads(shown))
    assert ingredients.canonical().decode() == canonical
    assert f"`{ingredients.fingerprint()}`" in text


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
        {"seed": None},
        {"packages": {"pyspark": "4.3.1"}},
    ],
)
def test_every_ingredient_changes_the_fingerprint(change):
    assert dataclasses.replace(EXAMPLE, **change).fingerprint() != EXAMPLE.fingerprint()


def test_every_member_is_hashed():
    assert json.loads(EXAMPLE.canonical()).keys() == {"format", *(f.name for f in dataclasses.fields(Ingredients))}


def test_another_format_is_another_fingerprint():
    other = canonical_json({**EXAMPLE.to_dict(), "format": FORMAT + 1})
    assert sha256_bytes(other) != EXAMPLE.fingerprint()


def test_how_a_value_is_held_changes_nothing():
    held = dataclasses.replace(
        EXAMPLE,
        code=MappingProxyType(dict(EXAMPLE.code)),
        parameters={"rate": 0.5, "partition": "2013-01-01"},
    )
    assert held.fingerprint() == EXAMPLE.fingerprint()
    lists, tuples = ({"days": days} for days in (["a", "b"], ("a", "b")))
    assert (
        dataclasses.replace(EXAMPLE, parameters=lists).fingerprint()
        == dataclasses.replace(EXAMPLE, parameters=tuples).fingerprint()
    )


@given(ANY)
def test_ingredients_survive_every_way_through_json(ingredients):
    for way in (
        ingredients.to_dict(),
        json.loads(json.dumps(ingredients.to_dict())),
        json.loads(ingredients.canonical()),
    ):
        assert Ingredients.from_dict(way).fingerprint() == ingredients.fingerprint()
    read = Ingredients.from_dict(json.loads(json.dumps(ingredients.to_dict())))
    assert Ingredients.from_dict(read.to_dict()) == read


def test_large_floats_survive_being_written_with_all_their_digits():
    ingredients = dataclasses.replace(EXAMPLE, parameters={"steps": [1e20, {"at": 2.0**68}]})
    assert b"295147905179352830000" in ingredients.canonical()
    read = Ingredients.from_dict(json.loads(ingredients.canonical()))
    assert read.fingerprint() == ingredients.fingerprint()


def test_the_data_of_to_dict_is_its_own():
    ingredients = dataclasses.replace(EXAMPLE, parameters={"nested": {"list": [1]}})
    ingredients.to_dict()["parameters"]["nested"]["list"].append(2)
    assert ingredients.parameters == {"nested": {"list": [1]}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 1, got 2"),
        ({"format": True}, "format 1, got True"),
        ({"format": "1"}, "format 1, got '1'"),
        ({"colour": "red"}, "unknown: colour"),
        ({"stage": ""}, "`stage`.*text"),
        ({"stage": None}, "`stage`.*text"),
        ({"environment": 7}, "`environment`.*text"),
        ({"code": ["a"]}, "`code`.*strings by string"),
        ({"inputs": {"a": None}}, "`inputs`.*strings by string"),
        ({"packages": {"a": 1}}, "`packages`.*strings by string"),
        ({"parameters": []}, "`parameters`.*object"),
        ({"parameters": {"lr": float("nan")}}, "finite numbers"),
        ({"parameters": {"n": 2**60 + 1}}, "integers below"),
        ({"parameters": {"nested": {1: 2}}}, "strings"),
        ({"seed": True}, "`seed`.*integer"),
        ({"seed": 1.0}, "`seed`.*integer"),
        ({"seed": 2**53}, "integers below"),
    ],
)
def test_data_that_is_no_ingredients_is_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        Ingredients.from_dict(EXAMPLE.to_dict() | change)


@pytest.mark.parametrize("member", EXAMPLE.to_dict())
def test_a_missing_member_is_refused(member):
    value = EXAMPLE.to_dict()
    del value[member]
    with pytest.raises(ConfigurationError, match=member):
        Ingredients.from_dict(value)


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(ConfigurationError, match="JSON object"):
        Ingredients.from_dict(value)
