"""
### Housekeeping: what must be done daily, whatever else happens

**refresh_channel** signs the release channel's metadata again before it expires. Its timestamp is good for 7 days;
devices refuse older metadata, so that nobody can hold an update back from them unnoticed.
"""

from __future__ import annotations

import datetime as dt

from airflow.sdk import DAG, task

from slipway.release.channel import Channel
from slipway_airflow import connections
from slipway_airflow.failures import fail_fast


@task
@fail_fast
def refresh_channel() -> bool:
    """Sign again what expires soon; says whether something was signed."""
    channel = Channel(connections.channel())
    channel.initialise()
    return channel.refresh_timestamp()


with DAG(
    dag_id="slipway.housekeeping",
    dag_display_name="Slipway: housekeeping",
    doc_md=__doc__,
    schedule="@daily",
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={
        "owner": "slipway",
        "retries": 3,
        "retry_delay": dt.timedelta(minutes=5),
        "execution_timeout": dt.timedelta(minutes=10),
    },
    tags=["slipway", "housekeeping"],
):
    refresh_channel()
