import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.identity.explain import closest, differences, explain
from slipway.identity.fingerprint import Ingredients
from tests.unit.identity.ingredients import ANY, EXAMPLE

MODEL = "include/models/flight_delay.py"
RAW = "raw/flights/date=2013-01-01/part-00000.parquet"


def said(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    pair = (dataclasses.replace(EXAMPLE, **change) for change in (before, after))
    return list(map(str, differences(*pair)))


def said_of(before: Any, after: Any) -> list[str]:
    """What is said of a parameter ``p``, without its name."""
    lines = said({"parameters": {"p": before}}, {"parameters": {"p": after}})
    return [line.removeprefix("parameter p ") for line in lines]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ({"stage": "train"}, {"stage": "export"}, "stage train → export"),
        ({"pipeline": "a"}, {"pipeline": "b"}, "pipeline a → b"),
        ({"parameters": {"lr": 0.001}}, {"parameters": {"lr": 0.002}}, "parameter lr 0.001 → 0.002"),
        ({"parameters": {}}, {"parameters": {"lr": 0.1}}, "parameter lr added (0.1)"),
        ({"parameters": {"lr": 0.1}}, {"parameters": {}}, "parameter lr removed (0.1)"),
        ({"seed": 1}, {"seed": 2}, "seed 1 → 2"),
        ({"seed": None}, {"seed": 0}, "seed none → 0"),
        ({"code": {MODEL: "1"}}, {"code": {MODEL: "2"}}, f"module {MODEL} changed"),
        ({"code": {}}, {"code": {MODEL: "2"}}, f"module {MODEL} added"),
        ({"code": {MODEL: "1"}}, {"code": {}}, f"module {MODEL} removed"),
        ({"packages": {"torch": "2.12.0"}}, {"packages": {"torch": "2.13.0"}}, "package torch 2.12.0 → 2.13.0"),
        ({"packages": {}}, {"packages": {"torch": "2.13.0"}}, "package torch added (2.13.0)"),
        ({"environment": "1" * 64}, {"environment": "2" * 64}, "environment (requirements.lock) changed"),
        (
            {"environment": "sha256:1234abcd99"},
            {"environment": "sha256:5678ef0199"},
            "environment (image) changed (1234abcd → 5678ef01)",
        ),
        (
            {"hardware": "x86_64-cpu"},
            {"hardware": "nvidia-h100"},
            "hardware x86_64-cpu → nvidia-h100",
        ),
        (
            {"inputs": {RAW: "1234abcd" * 8}},
            {"inputs": {RAW: "sha256:" + "5678ef01" * 8}},
            f"input {RAW} changed (1234abcd → 5678ef01)",
        ),
        ({"inputs": {}}, {"inputs": {RAW: "1234abcd" * 8}}, f"input {RAW} added (1234abcd)"),
    ],
)
def test_a_difference_reads_as_people_would_say_it(before, after, line):
    assert said(before, after) == [line]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("adam", "sgd", "adam → sgd"),
        ("1", 1, '"1" → 1'),
        ("true", True, '"true" → true'),
        ("", None, '"" → null'),
        ("a b", "a  b", '"a b" → "a  b"'),
        (1, True, "1 → true"),
        ({}, [], "{} → []"),
        ([1, 2], [2, 3], "3 added, 1 removed"),
        ([1, 2], [2, 1], "in another order"),
        ([1], [1, 1], "1 added"),
        ([], ["2013-01-01"], "2013-01-01 added"),
        ([{"a": 1}], [], '{"a":1} removed'),
        ([f"d{n}" for n in range(31)], [f"d{n}" for n in range(28, 60)], "29 added, 28 removed (31 → 32 elements)"),
        (list(range(9)), [], "9 removed (9 → 0 elements)"),
        ("x" * 100, "y" * 100, f"{'x' * 59}… → {'y' * 59}…"),
        ("x" * 100, "x" * 101, f"changed ({'x' * 59}…)"),
    ],
)
def test_values_are_shown_so_that_nobody_takes_them_for_another(before, after, line):
    assert said_of(before, after) == [line]


def test_nested_parameters_are_named_by_their_path():
    before = {"training": {"optimizer": {"lr": 0.1, "a.b": 1}, "layers": [{"width": 8}, {"width": 8}]}, "same": [1]}
    after = {"training": {"optimizer": {"lr": 0.2, "a.b": 2}, "layers": [{"width": 8}, {"width": 4}]}, "same": [1]}
    assert said({"parameters": before}, {"parameters": after}) == [
        "parameter training.layers[1].width 8 → 4",
        'parameter training.optimizer."a.b" 1 → 2',
        "parameter training.optimizer.lr 0.1 → 0.2",
    ]


def test_the_most_telling_comes_first():
    lines = said(
        {"inputs": {"r": "1"}, "packages": {"torch": "1"}, "code": {"m": "1"}, "parameters": {"lr": 1}},
        {"inputs": {"r": "2"}, "packages": {"torch": "2"}, "code": {"m": "2"}, "parameters": {"lr": 2}},
    )
    assert [line.split()[0] for line in lines] == ["parameter", "module", "package", "input"]


def test_many_differences_are_counted_not_listed():
    days = {f"raw/{day}": "1" for day in range(30)}
    found = differences(
        dataclasses.replace(EXAMPLE, inputs={}, seed=1),
        dataclasses.replace(EXAMPLE, inputs=days | {"x": "1"}, seed=2),
    )
    assert explain(found, most=2) == "seed 1 → 2; input raw/0 added (1); 30 more inputs"
    assert explain(found[:3], most=2).endswith("; 1 more input")
    assert explain(()) == "nothing differs"


@given(ANY, ANY)
def test_nothing_differs_exactly_when_the_fingerprints_are_equal(one, other):
    found = differences(one, other)
    assert (not found) == (one.fingerprint() == other.fingerprint())
    assert len(found) == len(differences(other, one))
    assert len({(item.kind, item.name) for item in found}) == len(found)
    assert all(str(item) and "\n" not in str(item) for item in found)


@given(ANY)
def test_nothing_differs_from_oneself_after_a_way_through_json(ingredients):
    assert differences(ingredients, Ingredients.from_dict(ingredients.to_dict())) == ()


@given(ANY, st.data())
def test_one_change_is_one_difference(ingredients, data):
    change = data.draw(
        st.sampled_from(
            [
                {"seed": 99},
                {"hardware": "tpu"},
                {"code": {**ingredients.code, "new": "1"}},
                {"packages": {**ingredients.packages, "new": "1"}},
                {"inputs": {**ingredients.inputs, "new": "1"}},
                {"parameters": {**ingredients.parameters, "new": {"b": 1, "c": 2}}},
            ]
        )
    )
    (found,) = differences(ingredients, dataclasses.replace(ingredients, **change))
    assert found.name in ("", "new")


def test_the_closest_has_the_fewest_differences_and_of_several_is_the_first():
    near = dataclasses.replace(EXAMPLE, seed=1)
    also = dataclasses.replace(EXAMPLE, seed=2)
    far = dataclasses.replace(EXAMPLE, seed=3, hardware="tpu")
    assert closest(EXAMPLE, [far, near, also]) is near
    assert closest(EXAMPLE, [also, far, near]) is also
    assert closest(EXAMPLE, []) is None


@given(ANY, st.lists(ANY, max_size=4))
def test_no_candidate_is_closer_than_the_closest(wanted, candidates):
    found = closest(wanted, candidates)
    if found is None:
        assert not candidates
        return
    counts = [len(differences(candidate, wanted)) for candidate in candidates]
    assert candidates[counts.index(min(counts))] is found
