import io

from rich.console import Console

from slipway.embedded.local_settings import LocalSettings
from slipway.embedded.secret_store import ensure_secrets
from slipway.embedded.stack import Stack
from slipway.embedded.terminal import print_addresses, terminal_progress
from slipway.settings import Settings, settings

ROOT = settings().root


def test_what_airflow_cannot_read_is_told_line_by_line_below_what_is_ready():
    shown = io.StringIO()
    with terminal_progress(Console(file=shown, width=60, highlight=False), "starting") as progress:
        progress.ready(
            "DAGs, except what Airflow cannot read", 3.2, ["pipelines.py: /a/b/c/x.yaml: 1 [problem]\n  k: l"]
        )
    assert shown.getvalue().splitlines()[-3:] == [
        "ready DAGs, except what Airflow cannot read   3.2 s",
        "      pipelines.py: /a/b/c/x.yaml: 1 [problem]",
        "        k: l",
    ]


def test_addresses_lead_to_the_registry_and_hold_no_password(tmp_path):
    place = Settings(root=ROOT, var=tmp_path / "var", airflow_settings=ROOT / "airflow_settings.yaml")
    secrets = ensure_secrets(place.var / "secrets.json")
    shown = io.StringIO()
    print_addresses(Stack(place), LocalSettings.load(place), Console(file=shown, width=60, highlight=False))
    (line,) = [line for line in shown.getvalue().splitlines() if line.startswith("MLflow")]
    assert line.split()[1] == "http://127.0.0.1:15000/#/models"
    for section in ("mlflow_default", "slipway_airflow"):
        assert secrets.get(section, "conn_password") not in shown.getvalue()
