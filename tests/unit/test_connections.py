from pathlib import Path

import pytest

from slipway.connections import (
    Fields,
    SigningKeys,
    channel_connection,
    compute_connection,
    database_connection,
    lake_connection,
    ledger_connection,
    mlflow_connection,
)
from slipway.errors import ConfigurationError


def fields(**kwargs) -> Fields:
    return Fields(conn_id="c", **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "url"),
    [
        ({"host": "http://127.0.0.1", "port": 18000}, "http://127.0.0.1:18000"),
        ({"host": "lakefs", "port": 8000}, "http://lakefs:8000"),
        ({"host": "lakefs.example.org", "schema": "https"}, "https://lakefs.example.org"),
        ({"host": "https://lakefs.example.org", "schema": "http"}, "https://lakefs.example.org"),
    ],
)
def test_a_web_service_may_be_named_by_a_url_or_by_its_parts(kwargs, url):
    assert lake_connection(fields(login="key", password="secret", **kwargs)).endpoint == url


@pytest.mark.parametrize("missing", ["host", "login", "password"])
def test_a_lake_without_address_or_credentials_is_refused_by_name(missing):
    whole = {"host": "lakefs", "login": "key", "password": "secret"}
    with pytest.raises(ConfigurationError, match=f"connection c: expected {missing}"):
        lake_connection(fields(**(whole | {missing: None})))


def test_no_secret_stands_in_a_connections_text():
    given = fields(
        host="h",
        schema="ledger",
        login="user",
        password="hush",
        extra={"repository": "r", "keys": "k", "hsm_pin": "hush"},
    )
    made = [
        given,
        lake_connection(given),
        ledger_connection(given, root=Path("/root"), var=Path("/var")),
        channel_connection(given, root=Path("/root"), var=Path("/var")),
    ]
    assert not [value for value in made if "hush" in repr(value)]


def test_credentials_are_escaped_where_they_become_part_of_a_url():
    given = fields(host="db", schema="ledger", login="a/b", password="p@ss:word/")
    assert database_connection(given).url == "postgresql+psycopg2://a%2Fb:p%40ss%3Aword%2F@db:5432/ledger"
    registry = mlflow_connection(fields(host="https://mlflow", login="a", password="p@ss"))
    assert registry.tracking_uri == "https://a:p%40ss@mlflow"


def test_a_registry_needs_no_credentials():
    assert mlflow_connection(fields(host="http://127.0.0.1", port=15000)).tracking_uri == "http://127.0.0.1:15000"


def test_a_channels_folders_lie_in_the_stack_the_project_or_where_they_say():
    def folders(repository: str, keys: str) -> tuple[str, str]:
        extra = {"repository": repository, "keys": keys}
        made = channel_connection(fields(host="g", password="t", extra=extra), root=Path("/project"), var=Path("/data"))
        return made.repository, made.keys

    assert folders("var/channel", "keys") == ("/data/channel", "/project/keys")
    assert folders("/mnt/channel", "/mnt/keys") == ("/mnt/channel", "/mnt/keys")


def test_pods_run_in_the_default_namespace_unless_the_connection_says_otherwise():
    plain = compute_connection(fields(extra={"runtime": "kubernetes"}))
    assert (plain.namespace, plain.kubernetes_conn_id) == ("default", "kubernetes_default")
    chosen = compute_connection(
        fields(extra={"runtime": "kubernetes", "namespace": "ml", "kubernetes_conn_id": "gpu_cluster"})
    )
    assert (chosen.namespace, chosen.kubernetes_conn_id) == ("ml", "gpu_cluster")


@pytest.mark.parametrize("runtime", ["process", "docker", "kubernetes"])
def test_every_runtime_is_known(runtime):
    assert compute_connection(fields(extra={"runtime": runtime})).runtime == runtime


def test_an_unknown_runtime_is_refused_with_those_that_are_known():
    with pytest.raises(ConfigurationError, match=r"process.*docker.*kubernetes.*'nomad'"):
        compute_connection(fields(extra={"runtime": "nomad"}))


def test_a_compute_connection_must_say_where_pods_run():
    with pytest.raises(ConfigurationError, match="expected runtime"):
        compute_connection(fields())


PLACES = {"root": Path("/project"), "var": Path("/state")}
DATABASE = {"host": "db", "schema": "ledger", "login": "user", "password": "p"}


def test_a_ledger_whose_keys_are_not_named_has_them_in_the_stacks_folder():
    keys = ledger_connection(fields(**DATABASE), **PLACES).keys
    assert keys == SigningKeys("/state/keys/build.pem", "/state/keys/approval.pem", "/state/keys/trust.json")


def test_a_ledgers_keys_may_be_files_of_the_project_or_uris_each_by_itself():
    extra = {"build_key": "secrets/ci.pem", "approval_key": "hsm:2?label=Release", "trust": "/etc/slipway/trust.json"}
    keys = ledger_connection(fields(**DATABASE, extra=extra), **PLACES).keys
    assert keys == SigningKeys("/project/secrets/ci.pem", "hsm:2?label=Release", "/etc/slipway/trust.json")


def test_a_ledgers_key_that_is_named_but_empty_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="expected approval_key"):
        ledger_connection(fields(**DATABASE, extra={"approval_key": ""}), **PLACES)
