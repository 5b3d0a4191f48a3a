"""Run a Python module as its main program, with less garbage collection: ``start_python.py MODULE ARGUMENTS…``.

With ``--task-libraries`` before the module, ``slipway.embedded.task_libraries`` are loaded first.

Importing Airflow or MLflow makes millions of objects that stay, and Python's collector walks them again and again.
With these thresholds the same imports take a third less of a core (Airflow's API server: 9.0 s -> 5.7 s, for 5% more
memory); processes that a service forks for its tasks inherit them.
"""

from __future__ import annotations

import gc
import runpy
import sys

_THRESHOLDS = (100_000, 50, 50)
TASK_LIBRARIES = "--task-libraries"


def main() -> None:
    """Become the module named by the first argument."""
    gc.set_threshold(*_THRESHOLDS)
    sys.argv = sys.argv[1:]
    # This file's folder came first on the path; the module must not find its neighbours as top-level modules.
    sys.path.pop(0)
    if sys.argv[0] == TASK_LIBRARIES:
        from slipway.embedded import task_libraries

        sys.argv = sys.argv[1:]
        task_libraries.load()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
