import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import ConfigurationError
from slipway.identity.canonical import canonical_json
from slipway.identity.code import code_digests
from slipway.identity.digest import sha256_bytes, sha256_file
from slipway.identity.fingerprint import Ingredients
from slipway.settings import settings

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


def project(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_code_closure_follows_first_party_imports_and_no_others(tmp_path):
    project(
        tmp_path,
        {
            "include/app/__init__.py": "",
            "include/app/a.py": "import json\nfrom app.b import f\n",
            "include/app/b.py": "def f():\n    from app import c\n",
            "include/app/c.py": "x = 1\n",
            "include/app/unrelated.py": "y = 2\n",
        },
    )
    found = code_digests([tmp_path / "include/app/a.py"], [tmp_path / "include"])
    assert list(found) == ["include/app/__init__.py", "include/app/a.py", "include/app/b.py", "include/app/c.py"]


def test_editing_a_module_three_imports_away_changes_the_code_and_another_pipelines_does_not(tmp_path):
    files = {
        "include/a.py": "import b\n",
        "include/b.py": "import c\n",
        "include/c.py": "import d\n",
        "include/d.py": "value = 1\n",
        "include/other.py": "value = 1\n",
    }
    project(tmp_path, files)
    entry, roots = [tmp_path / "include/a.py"], [tmp_path / "include"]
    before = code_digests(entry, roots)
    project(tmp_path, {"include/other.py": "value = 2  # comment\n"})
    assert code_digests(entry, roots) == before
    project(tmp_path, {"include/d.py": "value = 2\n"})
    assert code_digests(entry, roots) != before


def test_an_entry_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.py"):
        code_digests([tmp_path / "nowhere.py"], [tmp_path])


def test_the_devices_closure_holds_nothing_of_airflow():
    entry = settings().root / "include/slipway/pods/process.py"
    assert not [name for name in code_digests([entry], [settings().root / "include"]) if "airflow" in name]
