import io

from rich.console import Console

from slipway.embedded.terminal import terminal_progress


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
