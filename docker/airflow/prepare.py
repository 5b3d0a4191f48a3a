"""What has to be done once around a stack's services, and may be repeated: ``prepare.py databases | settings``.

``databases``: a database with its own role for each service, their passwords as generated.
``settings``: lakeFS's first user, then connections, pools and variables into the running Airflow.

Reads ``secrets.json`` below ``SLIPWAY_VAR`` and the settings file named by ``SLIPWAY_AIRFLOW_SETTINGS``.
"""

from __future__ import annotations

import argparse
import sys

import urllib3
from lakefs_sdk import AccessKeyCredentials, ApiClient, AuthApi, Configuration, InternalApi, Setup
from lakefs_sdk.exceptions import ApiException

from slipway.connections import LakeConnection
from slipway.embedded.airflow_import import import_settings
from slipway.embedded.local_settings import SECRETS_FILE, LocalSettings, fill
from slipway.embedded.postgres import ensure_databases, wait_ready
from slipway.embedded.secret_store import Secrets, load_secrets
from slipway.embedded.settings_file import SettingsFile, load_settings_file
from slipway.errors import LakeDeniedError, SlipwayError, UnavailableError
from slipway.settings import Settings, settings

FIRST_USER = "slipway"


def make_databases(file: SettingsFile, secrets: Secrets) -> None:
    """A database and a role of the same name for every service.

    Raises:
        ConfigurationError: the superuser's password does not fit the cluster, or the file lacks a value.
        UnavailableError: PostgreSQL did not answer within a minute.
    """
    ledger = fill(file, secrets).connection("slipway_ledger")
    port = ledger.conn_port or 5432
    names = ("airflow", "mlflow", "gateway", "lakefs")
    owners = {name: secrets.get("internal", f"{name}_database_password") for name in names}
    owners[ledger.conn_schema] = ledger.conn_password
    password = secrets.get("internal", "postgres_password")
    wait_ready(port, password, timeout=60)
    ensure_databases(port, password, owners)


def set_up_lakefs(lake: LakeConnection) -> bool:
    """Make the generated access key lakeFS's first one; returns whether that was still to do.

    Raises:
        LakeDeniedError: the server was set up before, with other keys.
        UnavailableError: it did not answer.
    """
    key = AccessKeyCredentials(access_key_id=lake.access_key, secret_access_key=lake.secret_key)
    configuration = Configuration(host=f"{lake.endpoint}/api/v1", username=lake.access_key, password=lake.secret_key)
    with ApiClient(configuration) as client:
        try:
            internal = InternalApi(client)
            new: bool = internal.get_setup_state(_request_timeout=30).state != "initialized"
            if new:
                internal.setup(Setup(username=FIRST_USER, key=key), _request_timeout=60)
            AuthApi(client).get_current_user(_request_timeout=30)
        except ApiException as error:
            if error.status == 401:
                raise LakeDeniedError(
                    f"expected the lakeFS at {lake.endpoint} to know the generated access key, it does not: it was set "
                    "up with other secrets; restore secrets.json, or begin anew with empty state folders"
                ) from error
            raise UnavailableError(f"expected to set up lakeFS at {lake.endpoint}, it said {error.status}") from error
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"expected lakeFS at {lake.endpoint}, got: {error}") from error
    return new


def put_settings(place: Settings, file: SettingsFile, secrets: Secrets) -> None:
    """lakeFS's first user, then the settings file into Airflow.

    Raises:
        SlipwayError: a service does not answer or refuses what it is given; the message says which.
    """
    local = LocalSettings.load(place)
    set_up_lakefs(local.lake)
    import_settings(local.airflow_url, local.airflow_login, fill(file, secrets), place.var / "airflow")


def main(arguments: list[str] | None = None) -> int:
    """Run one preparation; 0, or 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="prepare.py", description=__doc__)
    parser.add_argument("what", choices=("databases", "settings"))
    what = parser.parse_args(arguments).what
    try:
        place = settings()
        secrets, file = load_secrets(place.var / SECRETS_FILE), load_settings_file(place.airflow_settings)
        if what == "databases":
            make_databases(file, secrets)
        else:
            put_settings(place, file, secrets)
    except SlipwayError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
