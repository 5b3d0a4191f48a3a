import copy
import datetime as dt
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import ConfigurationError, EvidenceError
from slipway.ledger.intoto import from_intoto, from_payload, payload, to_intoto
from tests.simulators.statements import NOON, json_values, statement, statements


@given(statements)
def test_a_statement_comes_back_from_its_payload_as_it_was(made):
    assert from_payload(payload(made)) == made
    assert from_payload(payload(made)).fingerprint == made.fingerprint


@given(statements)
def test_a_payload_read_and_written_again_is_the_same_bytes(made):
    assert payload(from_payload(payload(made))) == payload(made)


@given(statements, st.randoms(use_true_random=False))
def test_equal_statements_have_equal_payloads_in_whatever_order_their_names_came(made, random):
    def shuffled(names):
        pairs = list(names.items())
        random.shuffle(pairs)
        return dict(pairs)

    again = replace(
        made,
        outputs=shuffled(made.outputs),
        materials=shuffled(made.materials),
        commits=shuffled(made.commits),
        details=shuffled(made.details),
    )
    assert payload(again) == payload(made)


def test_a_time_is_the_same_in_every_time_zone():
    made = statement()
    east = dt.timezone(dt.timedelta(hours=9))
    execution = replace(made.execution, started=made.execution.started.astimezone(east), finished=NOON.astimezone(east))
    assert payload(replace(made, execution=execution)) == payload(made)


@pytest.mark.parametrize("number", [1e20, 1.5e300, -1e17, 2.0**53, 5e-324, -0.0, 1.0])
def test_numbers_that_json_writes_as_integers_come_back_equal_and_can_be_written_again(number):
    made = statement(rate=number)
    read = from_payload(payload(made))
    assert read == made
    assert payload(read) == payload(made)


@pytest.mark.parametrize("number", [2**53, float("nan"), float("inf")])
def test_a_number_that_json_cannot_carry_is_refused_and_not_rounded(number):
    with pytest.raises(ConfigurationError, match="expected plain JSON data"):
        payload(replace(statement(), details={"rows": number}))


def test_it_is_spelled_as_in_toto_and_slsa_say():
    document = to_intoto(statement(materials={"raw/a": "b" * 64}))
    definition, run = document["predicate"]["buildDefinition"], document["predicate"]["runDetails"]
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    assert document["subject"][0]["digest"].keys() == {"sha256"}
    assert definition["externalParameters"].keys() == {"stage", "pipeline", "subject", "parameters"}
    assert definition["externalParameters"].keys().isdisjoint(definition["internalParameters"])
    assert definition["resolvedDependencies"] == [
        {"name": "raw/a", "digest": {"sha256": "b" * 64}},
        {"name": "main", "uri": "lakefs://flights/" + "c" * 64, "digest": {"lakefsCommit": "c" * 64}},
        {"name": "git", "digest": {"gitCommit": "a" * 40}, "annotations": {"dirty": False}},
    ]
    assert run["metadata"]["startedOn"] == "2026-03-01T11:59:00.000000Z"
    standard = {"builder", "metadata", "byproducts"}
    assert all(name.startswith("slipway_") for name in run.keys() - standard), "SLSA names extension fields so"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"outputs": {}}, "at least 1"),
        ({"outputs": {"model": "A" * 64}}, "sha256"),
        ({"varying": ["times.json"]}, "times.json"),
        ({"materials": {"raw": "abc"}}, "sha256"),
        ({"commits": {"main": "c" * 64}}, "repository@commit"),
        ({"commits": {"main": "flights@main"}}, "lakefsCommit"),
    ],
)
def test_a_statement_that_proves_nothing_is_not_spelled(change, says):
    with pytest.raises(EvidenceError, match=says):
        to_intoto(replace(statement(), **change))


def test_a_time_without_a_zone_is_refused():
    made = statement()
    with pytest.raises(EvidenceError, match="time zone"):
        to_intoto(replace(made, execution=replace(made.execution, finished=dt.datetime(2026, 3, 1))))


def test_ingredients_that_do_not_have_the_claimed_fingerprint_are_refused():
    document = to_intoto(statement())
    document["predicate"]["buildDefinition"]["externalParameters"]["parameters"]["lr"] = 0.1
    with pytest.raises(EvidenceError, match="claims the fingerprint"):
        from_intoto(document)


def paths(value, so_far=()):
    """Every place of a document that is not inside free data."""
    if so_far and so_far[-1] in {"parameters", "slipway_details", "code", "packages", "inputs", "machine"}:
        return
    if so_far:
        yield so_far
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(inner, (*so_far, key))


DOCUMENT = to_intoto(statement(materials={"raw/a": "b" * 64}))


@pytest.mark.parametrize("path", list(paths(DOCUMENT)), ids=lambda path: ".".join(map(str, path)))
def test_every_field_must_be_there_and_of_its_form(path):
    document = copy.deepcopy(DOCUMENT)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = {"unknown": 1}
    with pytest.raises(EvidenceError):
        from_intoto(document)
    if isinstance(holder, dict):
        del holder[path[-1]]
        with pytest.raises(EvidenceError, match=r"equired|does not match any|ingredients|fingerprint None"):
            from_intoto(document)


def test_a_field_it_does_not_know_is_refused_by_its_place():
    document = copy.deepcopy(DOCUMENT)
    document["predicate"]["buildDefinition"]["externalParameters"]["debug"] = True
    with pytest.raises(EvidenceError, match=r"externalParameters\.debug"):
        from_intoto(document)


def test_a_name_that_stands_twice_is_refused():
    document = copy.deepcopy(DOCUMENT)
    document["subject"] *= 2
    with pytest.raises(EvidenceError, match="every name once"):
        from_intoto(document)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_statement_is_refused(content):
    with pytest.raises(EvidenceError):
        from_payload(content)


@given(json_values)
def test_any_other_json_is_refused(value):
    with pytest.raises(EvidenceError):
        from_payload(json.dumps(value).encode())
