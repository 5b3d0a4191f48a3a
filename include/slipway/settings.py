"""The process's settings; the only module that reads the environment.

Ports, hosts and credentials of services are not here: they are connections (``airflow_settings.yaml``).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

_ROOT = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """Paths of this checkout; each can be set as ``SLIPWAY_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", frozen=True, extra="ignore")

    root: Path = _ROOT
    """The project: holds dags/, include/ and spark_jobs/."""
    var: Path = _ROOT / "var"
    """Everything the local stack writes: data, logs, secrets, reports."""
    airflow_settings: Path = _ROOT / "airflow_settings.yaml"
    """Connections, pools and variables in Astro's format."""

    @property
    def pipelines(self) -> Path:
        return self.root / "include" / "pipelines"

    @property
    def models(self) -> Path:
        return self.root / "include" / "models"

    @property
    def manifests(self) -> Path:
        return self.root / "include" / "pods"

    @property
    def feed_copies(self) -> Path:
        """Parsed copies of the feeds' files; may be deleted at any time."""
        return self.var / "feed"

    @property
    def imports_cache(self) -> Path:
        """What Python files import, by their content; may be deleted at any time."""
        return self.var / "cache" / "imports"

    @property
    def spark_jobs(self) -> Path:
        return self.root / "spark_jobs"


@lru_cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
