"""Whether one of Airflow's processes works, as the API server knows it: ``healthcheck.py COMPONENT [URL]``.

Components are those of ``/api/v2/monitor/health``: metadatabase, scheduler, triggerer, dag_processor. Asking costs
milliseconds; ``airflow jobs check`` would import all of Airflow each time. Ends with 0 when it is healthy, else 1.
"""

from __future__ import annotations

import json
import sys
import urllib.request

SECONDS = 8


def healthy(component: str, url: str) -> bool:
    """Whether ``component`` reports ``healthy`` at the API server ``url``."""
    try:
        with urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=SECONDS) as answer:  # noqa: S310 - http
            report = json.load(answer)
        return bool(report[component]["status"] == "healthy")
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"{component}: {type(error).__name__}: {error}\n")
        return False


if __name__ == "__main__":
    sys.exit(0 if healthy(sys.argv[1], (sys.argv[2:] or ["http://127.0.0.1:8080"])[0]) else 1)
