"""Reading pipeline YAML files; a wrong one names its file, its key, what was expected and what came."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from slipway.errors import ConfigurationError
from slipway.pipeline.spec import Pipeline

# Every task and every DAG file reads pipelines: in Python that took a fifth of an ingest run's tasks.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_pipeline(path: Path) -> Pipeline:
    """Read one pipeline file.

    Raises:
        ConfigurationError: the file is missing, is not YAML, or does not fit ``Pipeline``; every problem is listed.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigurationError(f"{path}: expected a pipeline file, but it cannot be read: {error}") from error
    try:
        raw = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{path}: expected a mapping of keys, got {type(raw).__name__}")
    try:
        pipeline = Pipeline.model_validate(raw)
    except ValidationError as error:
        raise ConfigurationError(_explain(path, error)) from error
    if pipeline.name != path.stem:
        raise ConfigurationError(
            f"{path}: key 'name' is {pipeline.name!r}, expected {path.stem!r}: name the file after the pipeline"
        )
    return pipeline


def find_pipeline(folder: Path, name: str) -> Pipeline:
    """The pipeline of that name.

    Raises:
        ConfigurationError: as ``pipeline_file`` and ``load_pipeline``.
    """
    return load_pipeline(pipeline_file(folder, name))


def pipeline_file(folder: Path, name: str) -> Path:
    """The file of the pipeline of that name.

    Raises:
        ConfigurationError: there is none; the message lists those there are.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise ConfigurationError(f"no pipeline {name!r} in {folder} (there are: {known})")
    return path


def told(path: Path, problems: Sequence[str]) -> str:
    """What is wrong with a pipeline file, one line per problem, each beginning with its key."""
    return "\n".join([f"{path}: {len(problems)} problem(s)", *(f"  {problem}" for problem in problems)])


def _explain(path: Path, error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(top level)"
        if problem["type"] == "extra_forbidden":
            problems.append(f"{key}: unknown key; remove it or correct its spelling")
        elif problem["type"] == "missing":
            problems.append(f"{key}: required key is missing")
        else:
            problems.append(f"{key}: {problem['msg']} (got {problem['input']!r:.80})")
    return told(path, problems)
