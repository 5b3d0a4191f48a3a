"""
### Pipeline files

The other DAG files leave out a pipeline whose file is wrong, so that the rest go on. This one reads them all, and so
Airflow shows what is wrong with such a file as the import error of this one. It makes no DAG.
"""

from __future__ import annotations

from slipway.pipeline.project import load_pipelines
from slipway.settings import settings

load_pipelines(settings().pipelines)
