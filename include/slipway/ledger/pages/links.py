"""Where a page's links lead: to other pages, to MLflow, to lakeFS."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit


@dataclass(frozen=True)
class Links:
    """Base addresses without a slash at their ends, as people's browsers find them."""

    base: str
    """The provenance pages."""
    mlflow: str | None = None
    lakefs: str | None = None
    """``None`` where the lake has no web interface."""

    def home(self) -> str:
        return f"{self.base}/"

    def find(self) -> str:
        return f"{self.base}/find"

    def statement(self, fingerprint: str) -> str:
        return f"{self.base}/statements/{_part(fingerprint)}"

    def version(self, pipeline: str, version: str) -> str:
        return f"{self.base}/{_part(pipeline)}/versions/{_part(version)}"

    def partitions(self, pipeline: str, version: str, stage: str) -> str:
        """The list of a stage's statements in the making of a version."""
        return f"{self.version(pipeline, version)}/{_part(stage)}"

    def older(self, pipeline: str, before: int) -> str:
        """The versions of a pipeline registered before a row."""
        return f"{self.base}/{_part(pipeline)}?before={before}"

    def pipeline(self, pipeline: str) -> str:
        return f"{self.base}/{_part(pipeline)}"

    def commit(self, commit: str) -> str:
        return f"{self.base}/commits/{_part(commit)}"

    def device(self, device: str) -> str:
        return f"{self.base}/devices/{_part(device)}"

    def registered(self, pipeline: str, version: str) -> str | None:
        """A version in MLflow."""
        return self.mlflow and f"{self.mlflow}/#/models/{_part(pipeline)}/versions/{_part(version)}"

    def lake(self, place: str) -> str | None:
        """A commit, ``repository@commit``, in lakeFS."""
        repository, _, commit = place.partition("@")
        return self.lakefs and f"{self.lakefs}/repositories/{_part(repository)}/commits/{_part(commit)}"


def outside(url: str) -> str | None:
    """A URL of a statement if it may be followed: whoever wrote it shall not run a script here."""
    try:
        return url if urlsplit(url).scheme in ("http", "https") else None
    except ValueError:
        return None


def _part(text: str) -> str:
    return quote(text, safe="")
