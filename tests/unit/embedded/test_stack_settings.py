"""``airflow_settings.yaml`` and the generated secrets."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from slipway.embedded.local_settings import LocalSettings
from slipway.embedded.secret_store import ensure_secrets, write_private
from slipway.embedded.settings_file import load_settings_file
from slipway.errors import ConfigurationError
from slipway.settings import Settings

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "airflow_settings.yaml"


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    settings_file = tmp_path / "airflow_settings.yaml"
    settings_file.write_text(SHIPPED.read_text())
    return Settings(root=tmp_path, var=tmp_path / "data", airflow_settings=settings_file)


def replace(place: Settings, old: str, new: str) -> None:
    text = place.airflow_settings.read_text()
    assert text.count(old) >= 1
    place.airflow_settings.write_text(text.replace(old, new, 1))


def test_the_shipped_file_describes_every_service_and_holds_no_secret() -> None:
    file = load_settings_file(SHIPPED)
    ports = {entry.conn_id: entry.conn_port for entry in file.connections}
    assert ports == {
        "lakefs_default": 18000,
        "spark_default": 15002,
        "mlflow_default": 15000,
        "slipway_ledger": 15432,
        "slipway_channel": 18080,
        "slipway_compute": None,
        "slipway_airflow": 8080,
    }
    assert {entry.conn_password for entry in file.connections} == {""}
    assert [pool.pool_name for pool in file.pools] == ["spark"]


def test_local_settings_join_the_file_with_the_generated_secrets(place: Settings) -> None:
    secrets = ensure_secrets(place.var / "secrets.json")
    local = LocalSettings.load(place)
    assert local.lake.endpoint == "http://127.0.0.1:18000"
    assert local.lake.secret_key == secrets.get("lakefs_default", "conn_password")
    assert local.ledger.url.endswith("@127.0.0.1:15432/ledger")
    assert local.spark.remote == (
        f"sc://localhost:15002/;token={secrets.get('spark_default', 'conn_password')};use_ssl=False"
    )
    assert local.airflow_url == "http://127.0.0.1:8080"
    assert local.airflow_login.name == "admin"
    assert local.compute.runtime == "process"


def test_extras_that_begin_with_var_lie_in_the_stacks_own_folder(place: Settings) -> None:
    ensure_secrets(place.var / "secrets.json")
    replace(place, "keys: var/keys", "keys: keys")
    channel = LocalSettings.load(place).channel
    assert Path(channel.repository) == place.var / "channel"
    assert Path(channel.keys) == place.root / "keys"


def test_no_secret_shows_when_settings_are_printed(place: Settings) -> None:
    secrets = ensure_secrets(place.var / "secrets.json")
    shown = repr(LocalSettings.load(place)) + repr(secrets) + repr(load_settings_file(place.airflow_settings))
    for section, names in secrets.values.items():
        for name, value in names.items():
            if name != "conn_login" and (section, name) != ("mlflow_default", "conn_password"):
                assert value not in shown


def test_without_secrets_the_message_says_to_start_the_stack(place: Settings) -> None:
    with pytest.raises(ConfigurationError, match="make up"):
        LocalSettings.load(place)


def test_secrets_are_generated_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = ensure_secrets(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_secrets(path).values == first.values
    assert ensure_secrets(tmp_path / "other.json").values != first.values


def test_a_secret_that_is_missing_is_added_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    before = json.loads(json.dumps(ensure_secrets(path).values))
    kept = {**before, "spark_default": {}, "mine": {"conn_password": "x"}}
    path.write_text(json.dumps(kept))
    after = ensure_secrets(path).values
    assert after["spark_default"]["conn_password"]
    assert after["mine"] == {"conn_password": "x"}
    assert after["lakefs_default"] == before["lakefs_default"]


def test_broken_secrets_are_reported_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text("{")
    with pytest.raises(ConfigurationError, match=str(path)):
        ensure_secrets(path)
    assert path.read_text() == "{"


def test_a_private_file_is_never_readable_by_others_even_under_an_open_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("conn_port: 18000", "conn_port: many", "lakefs_default.conn_port"),
        ("conn_port: 18000", "conn_port: 70000", "lakefs_default.conn_port"),
        ("conn_host: http", "conn_hots: http", "conn_hots"),
        ("pool_slot: 2", "pool_slot: -1", "spark.pool_slot"),
        ("conn_id: spark_default", "conn_id: lakefs_default", "lakefs_default more than once"),
        ("airflow:", "airflaw:", "airflaw"),
        ("  variables: []", "  variables: [", "expected YAML"),
        ("use_ssl: false", "{", "expected YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_key(place: Settings, old: str, new: str, expected: str) -> None:
    replace(place, old, new)
    with pytest.raises(ConfigurationError) as caught:
        load_settings_file(place.airflow_settings)
    assert expected in str(caught.value)
    assert str(place.airflow_settings) in str(caught.value)


def test_a_wrong_password_field_is_reported_without_its_value(place: Settings) -> None:
    replace(place, "conn_password: # secret access key", "conn_password: [hunter2]")
    with pytest.raises(ConfigurationError) as caught:
        load_settings_file(place.airflow_settings)
    assert "lakefs_default.conn_password" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("runtime: process", "runtime: podman", "podman"),
        ("repository: var/channel", "other: var/channel", "repository"),
        ("conn_id: slipway_ledger", "conn_id: my_ledger", "slipway_ledger"),
        ("conn_port: 15000", "conn_port:", "mlflow_default.conn_port"),
        ("conn_host: http://127.0.0.1", "conn_host: https://lakefs.example.org", "fill them in"),
    ],
)
def test_what_a_service_lacks_is_named(place: Settings, old: str, new: str, expected: str) -> None:
    ensure_secrets(place.var / "secrets.json")
    replace(place, old, new)
    with pytest.raises(ConfigurationError) as caught:
        LocalSettings.load(place)
    assert expected in str(caught.value)
    assert str(place.airflow_settings) in str(caught.value)


def test_extras_may_be_json_text_as_in_airflows_own_form(place: Settings) -> None:
    ensure_secrets(place.var / "secrets.json")
    replace(place, "conn_extra:\n        runtime: process", 'conn_extra: \'{"runtime": "docker"}\'')
    assert LocalSettings.load(place).compute.runtime == "docker"


def test_a_connection_to_another_machine_keeps_its_own_login(place: Settings) -> None:
    ensure_secrets(place.var / "secrets.json")
    replace(place, "conn_host: http://127.0.0.1", "conn_host: https://lakefs.example.org")
    replace(place, "conn_login: # access key id", "conn_login: me")
    replace(place, "conn_password: # secret access key", "conn_password: mine")
    lake = LocalSettings.load(place).lake
    assert (lake.endpoint, lake.access_key, lake.secret_key) == ("https://lakefs.example.org:18000", "me", "mine")
